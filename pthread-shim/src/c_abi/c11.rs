//! `<threads.h>` of C11: the same objects under other names and with other answers.

use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr,
};

use linux_raw_sys::{
    errno::{EAGAIN, EBUSY, EINTR, ETIMEDOUT},
    general::{__NR_clock_nanosleep, __NR_sched_yield, CLOCK_REALTIME},
};

use super::{condition, create, join, keys, mutex, thread::Thread};
use crate::{
    condvar::Condvar,
    mutex::{Kind, Mutex},
    sys,
    time::{Clock, Timespec},
};

const SUCCESS: c_int = 0;
const BUSY: c_int = 1;
const ERROR: c_int = 2;
const NO_MEMORY: c_int = 3;
const TIMED_OUT: c_int = 4;

/// `mtx_recursive`, a bit.
const RECURSIVE: c_int = 1;

fn answer(errno: c_int) -> c_int {
    match errno.cast_unsigned() {
        0 => SUCCESS,
        EBUSY => BUSY,
        EAGAIN => NO_MEMORY,
        ETIMEDOUT => TIMED_OUT,
        _ => ERROR,
    }
}

/// Creates a thread; see `thrd_create`.
#[unsafe(no_mangle)]
unsafe extern "C" fn thrd_create(
    id: &mut *const Thread,
    entry: unsafe extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's contract.
    answer(unsafe { create::create(id, None, create::Routine::C11(entry), argument) })
}

/// Ends the calling thread; see `thrd_exit`.
#[unsafe(no_mangle)]
extern "C" fn thrd_exit(result: c_int) -> ! {
    create::exit_thread(ptr::without_provenance_mut(result as usize))
}

/// Leaves a thread to itself; see `thrd_detach`.
#[unsafe(no_mangle)]
extern "C" fn thrd_detach(target: &'static Thread) -> c_int {
    answer(join::pthread_detach(target))
}

/// Waits for the end of a thread; see `thrd_join`.
#[unsafe(no_mangle)]
extern "C" fn thrd_join(target: &'static Thread, result: Option<&mut c_int>) -> c_int {
    let mut value = ptr::null_mut();
    let errno = join::pthread_join(target, Some(&mut value));
    if errno == 0
        && let Some(result) = result
    {
        *result = value.addr() as c_int;
    }
    answer(errno)
}

/// Sleeps; see `thrd_sleep`. Returns -1 if a signal handler ran, -2 for any other failure.
#[unsafe(no_mangle)]
extern "C" fn thrd_sleep(duration: &Timespec, remaining: *mut Timespec) -> c_int {
    let arguments = [
        CLOCK_REALTIME as usize,
        0,
        ptr::from_ref(duration).expose_provenance(),
        remaining.expose_provenance(),
        0,
        0,
    ];
    // SAFETY: the kernel reads the one and, if not null, writes the other, the caller's own.
    match sys::cancellable(|| unsafe { sys::call(__NR_clock_nanosleep, arguments) }) {
        Ok(_) => 0,
        Err(error) if error.number() == EINTR => -1,
        Err(_) => -2,
    }
}

/// Lets others run; see `thrd_yield`.
#[unsafe(no_mangle)]
extern "C" fn thrd_yield() {
    // It cannot fail.
    let _ = sys::call_plain(__NR_sched_yield, []);
}

/// Initialises a mutex; see `mtx_init`.
#[unsafe(no_mangle)]
extern "C" fn mtx_init(new: &mut MaybeUninit<Mutex>, kind: c_int) -> c_int {
    let number = u32::from(kind & RECURSIVE != 0);
    let kind = Kind::default()
        .with_type(number)
        .expect("normal and recursive exist");
    new.write(Mutex::new(kind));
    SUCCESS
}

/// Ends the use of a mutex; see `mtx_destroy`.
#[unsafe(no_mangle)]
extern "C" fn mtx_destroy(_mutex: &Mutex) {}

/// Locks; see `mtx_lock`.
#[unsafe(no_mangle)]
extern "C" fn mtx_lock(lock: &Mutex) -> c_int {
    answer(mutex::pthread_mutex_lock(lock))
}

/// Locks if it is free; see `mtx_trylock`.
#[unsafe(no_mangle)]
extern "C" fn mtx_trylock(lock: &Mutex) -> c_int {
    answer(mutex::pthread_mutex_trylock(lock))
}

/// Locks until a time of `TIME_UTC`; see `mtx_timedlock`.
#[unsafe(no_mangle)]
extern "C" fn mtx_timedlock(lock: &Mutex, at: Option<&Timespec>) -> c_int {
    answer(mutex::pthread_mutex_timedlock(lock, at))
}

/// Unlocks; see `mtx_unlock`.
#[unsafe(no_mangle)]
extern "C" fn mtx_unlock(lock: &Mutex) -> c_int {
    answer(mutex::pthread_mutex_unlock(lock))
}

/// Initialises a condition variable; see `cnd_init`.
#[unsafe(no_mangle)]
extern "C" fn cnd_init(new: &mut MaybeUninit<Condvar>) -> c_int {
    new.write(Condvar::new(Clock::Realtime));
    SUCCESS
}

/// Ends the use of a condition variable; see `cnd_destroy`.
#[unsafe(no_mangle)]
extern "C" fn cnd_destroy(condvar: &Condvar) {
    condition::pthread_cond_destroy(condvar);
}

/// Wakes one waiter; see `cnd_signal`.
#[unsafe(no_mangle)]
extern "C" fn cnd_signal(condvar: &Condvar) -> c_int {
    answer(condition::pthread_cond_signal(condvar))
}

/// Wakes all waiters; see `cnd_broadcast`.
#[unsafe(no_mangle)]
extern "C" fn cnd_broadcast(condvar: &Condvar) -> c_int {
    answer(condition::pthread_cond_broadcast(condvar))
}

/// Waits for a signal; see `cnd_wait`.
#[unsafe(no_mangle)]
extern "C" fn cnd_wait(condvar: &Condvar, lock: &Mutex) -> c_int {
    answer(condition::pthread_cond_wait(condvar, lock))
}

/// Waits for a signal until a time of `TIME_UTC`; see `cnd_timedwait`.
#[unsafe(no_mangle)]
extern "C" fn cnd_timedwait(condvar: &Condvar, lock: &Mutex, at: Option<&Timespec>) -> c_int {
    answer(condition::pthread_cond_timedwait(condvar, lock, at))
}

/// Creates a key; see `tss_create`.
#[unsafe(no_mangle)]
extern "C" fn tss_create(
    key: &mut u32,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
) -> c_int {
    if keys::pthread_key_create(key, destructor) == 0 {
        SUCCESS
    } else {
        ERROR
    }
}

/// Frees a key; see `tss_delete`.
#[unsafe(no_mangle)]
extern "C" fn tss_delete(key: u32) {
    keys::pthread_key_delete(key);
}

/// Returns the calling thread's value; see `tss_get`.
#[unsafe(no_mangle)]
extern "C" fn tss_get(key: u32) -> *mut c_void {
    keys::pthread_getspecific(key)
}

/// Sets the calling thread's value; see `tss_set`.
#[unsafe(no_mangle)]
extern "C" fn tss_set(key: u32, value: *mut c_void) -> c_int {
    if keys::pthread_setspecific(key, value) == 0 {
        SUCCESS
    } else {
        ERROR
    }
}
