//! Thread-specific data: `pthread_key_create` and the values behind the keys.

use core::{
    ffi::{c_int, c_void},
    ptr,
    sync::atomic::AtomicPtr,
};

use linux_raw_sys::errno::{EAGAIN, EINVAL};

use super::{thread, thread::Thread, thread_list};
use crate::prim::Ordering;

/// `PTHREAD_KEYS_MAX` of musl's `<limits.h>`.
const KEYS: usize = 128;
/// `PTHREAD_DESTRUCTOR_ITERATIONS` of musl's `<limits.h>`.
const ITERATIONS: usize = 4;

/// One thread's values, by key.
pub type Values = [AtomicPtr<c_void>; KEYS];

type Destructor = unsafe extern "C" fn(*mut c_void);

/// The destructor of each key in use; null means that the key is free.
static DESTRUCTORS: [AtomicPtr<()>; KEYS] = [const { AtomicPtr::new(ptr::null_mut()) }; KEYS];

/// Stands for "in use, without a destructor".
unsafe extern "C" fn no_destructor(_: *mut c_void) {}

/// The first thread's values; other threads have them behind their block.
static FIRST_THREAD: Values = [const { AtomicPtr::new(ptr::null_mut()) }; KEYS];

/// Returns `thread`'s values.
pub fn of(thread: &Thread) -> &Values {
    if thread.body.keys.get().is_null() {
        // Every other thread got its values when it was created.
        thread.body.keys.set(&raw const FIRST_THREAD);
    }
    // SAFETY: set here or at creation, to memory that lives as long as the thread.
    unsafe { &*thread.body.keys.get() }
}

fn slot(key: u32) -> Option<usize> {
    let index = usize::try_from(key).ok().filter(|&index| index < KEYS)?;
    // Acquire: pairs with the key's creation, in case it came here by another way.
    (!DESTRUCTORS[index].load(Ordering::Acquire).is_null()).then_some(index)
}

/// Creates a key; see `pthread_key_create`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_key_create(key: &mut u32, destructor: Option<Destructor>) -> c_int {
    let destructor = (destructor.unwrap_or(no_destructor) as *const ()).cast_mut();
    for (index, slot) in (0..).zip(&DESTRUCTORS) {
        if slot
            .compare_exchange(
                ptr::null_mut(),
                destructor,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
        {
            *key = index;
            return 0;
        }
    }
    EAGAIN.cast_signed()
}

/// Frees a key, whose values are forgotten; see `pthread_key_delete`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_key_delete(key: u32) -> c_int {
    let Some(index) = slot(key) else {
        return EINVAL.cast_signed();
    };
    // First the values, then the key: the next user of the slot must find nulls.
    let threads = thread_list::lock();
    of(thread::current())[index].store(ptr::null_mut(), Ordering::Relaxed);
    threads.for_each_other(|other| {
        // SAFETY: if not null, the values live as long as their thread, which is listed.
        if let Some(values) = unsafe { other.body.keys.get().as_ref() } {
            values[index].store(ptr::null_mut(), Ordering::Relaxed);
        }
    });
    drop(threads);
    DESTRUCTORS[index].store(ptr::null_mut(), Ordering::Release);
    0
}

/// Returns the calling thread's value; see `pthread_getspecific`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_getspecific(key: u32) -> *mut c_void {
    match of(thread::current()).get(key as usize) {
        Some(value) => value.load(Ordering::Relaxed),
        None => ptr::null_mut(),
    }
}

/// Sets the calling thread's value; see `pthread_setspecific`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_setspecific(key: u32, value: *mut c_void) -> c_int {
    let Some(index) = slot(key) else {
        return EINVAL.cast_signed();
    };
    of(thread::current())[index].store(value, Ordering::Relaxed);
    0
}

/// Runs the destructors of the calling thread's values, as POSIX says at `pthread_exit`.
#[unsafe(no_mangle)]
pub extern "C" fn __pthread_tsd_run_dtors() {
    let values = of(thread::current());
    for _ in 0..ITERATIONS {
        let mut ran = false;
        for (value, destructor) in values.iter().zip(&DESTRUCTORS) {
            let value = value.swap(ptr::null_mut(), Ordering::Relaxed);
            let destructor = destructor.load(Ordering::Acquire);
            if value.is_null() || destructor.is_null() {
                continue;
            }
            // SAFETY: what is not null in the table is a destructor, put there by
            // `pthread_key_create`; it takes its key's values.
            unsafe { core::mem::transmute::<*mut (), Destructor>(destructor)(value) };
            ran = true;
        }
        if !ran {
            return;
        }
    }
}
