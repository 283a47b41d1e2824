//! musl's own state that threads change, and the waiting helpers its C files call.

use core::{
    ffi::{c_int, c_void},
    ptr,
    sync::atomic::{AtomicI8, AtomicI32, AtomicU8},
};

use linux_raw_sys::{
    errno::{EINTR, EINVAL, ETIMEDOUT},
    general::SIG_UNBLOCK,
};

use super::{keys, thread};
use crate::{
    futex::{self, Scope, Sleep, Wake},
    lock,
    prim::{AtomicU32, Cell, Ordering},
    sys,
    time::{Clock, Deadline, Timespec},
};

/// The head of musl's `struct __libc`, of `src/internal/libc.h`.
#[repr(C)]
pub struct Libc {
    /// Whether the thread pointer could be set.
    pub can_do_threads: AtomicU8,
    threaded: AtomicU8,
    _secure: u8,
    need_locks: AtomicI8,
    /// How many threads there are besides one.
    pub threads_minus_1: AtomicI32,
    /// The auxiliary vector, on the first thread's stack.
    pub auxv: Cell<*const usize>,
    _tls_head: Cell<*const c_void>,
    /// What a thread's block and thread-local data take.
    pub tls_size: Cell<usize>,
    _tls_align: Cell<usize>,
    _tls_count: Cell<usize>,
    /// The size of a page.
    pub page_size: Cell<usize>,
    /// The locale of threads that have set no other.
    pub global_locale: [*const c_void; 6],
}

// SAFETY: what changes after the start of the program is atomic.
unsafe impl Sync for Libc {}

/// The head of musl's `struct _IO_FILE`, of `src/internal/stdio_impl.h`.
#[repr(C)]
struct File {
    _before: [usize; 14],
    next: *const File,
    _descriptors: [c_int; 2],
    _lock_count: isize,
    _mode: c_int,
    lock: AtomicI32,
}

const _: () =
    assert!(core::mem::offset_of!(File, next) == 112 && core::mem::offset_of!(File, lock) == 140);

unsafe extern "C" {
    #[link_name = "__libc"]
    safe static LIBC: Libc;
    fn __ofl_lock() -> *const *const File;
    safe fn __ofl_unlock();
    #[link_name = "__stdin_used"]
    static STDIN: *const File;
    #[link_name = "__stdout_used"]
    static STDOUT: *const File;
    #[link_name = "__stderr_used"]
    static STDERR: *const File;
    safe fn __do_orphaned_stdio_locks();
    safe fn __dl_thread_cleanup();
}

/// Returns musl's state.
#[inline]
pub fn libc() -> &'static Libc {
    &LIBC
}

/// musl's timer, cancellation and broadcast signals: 32, 33 and 34.
const INTERNAL_SIGNALS: sys::SignalMask = 0b111 << 31;

/// Tells musl that from now on there are threads, before the first one starts.
///
/// Until then its streams and its allocator take no locks; streams opened so far are
/// marked as such and have to be changed one by one.
pub fn become_threaded() {
    // Relaxed: all of this happens before the first thread starts, which orders it.
    if LIBC.threaded.load(Ordering::Relaxed) == 0 {
        // SAFETY: the list is locked, and the streams on it are open.
        unsafe {
            let mut file = *__ofl_lock();
            while let Some(open) = file.as_ref() {
                open.start_locking();
                file = open.next;
            }
        }
        __ofl_unlock();
        // SAFETY: musl sets these once, to streams that live for ever, when it is linked
        // with a user of them.
        unsafe {
            for used in [&raw const STDIN, &raw const STDOUT, &raw const STDERR] {
                if let Some(file) = ptr::read_volatile(used).as_ref() {
                    file.start_locking();
                }
            }
        }
        sys::change_signal_mask(SIG_UNBLOCK, INTERNAL_SIGNALS);
        keys::of(thread::current());
        LIBC.threaded.store(1, Ordering::Relaxed);
    }
    // musl's fork sets it back in a child, which has one thread.
    LIBC.need_locks.store(1, Ordering::Relaxed);
}

impl File {
    /// Turns "no lock, as there are no threads" into "not locked".
    fn start_locking(&self) {
        if self.lock.load(Ordering::Relaxed) < 0 {
            self.lock.store(0, Ordering::Relaxed);
        }
    }
}

/// Gives back what musl keeps for the calling thread, which ends.
pub fn forget_current_thread() {
    __do_orphaned_stdio_locks();
    __dl_thread_cleanup();
}

/// Takes one of musl's own locks.
#[unsafe(no_mangle)]
extern "C" fn __lock(word: &AtomicU32) {
    if LIBC.need_locks.load(Ordering::Relaxed) != 0 {
        lock::lock_internal(word);
    }
}

/// Gives one of musl's own locks back; one that `__lock` did not take stays free.
#[unsafe(no_mangle)]
extern "C" fn __unlock(word: &AtomicU32) {
    lock::unlock(word, Scope::Private);
}

fn scope_of(is_private: c_int) -> Scope {
    if is_private == 0 {
        Scope::Shared
    } else {
        Scope::Private
    }
}

/// Sleeps until `word` is no longer `value`, counted in `waiters` if there is such a count.
#[unsafe(no_mangle)]
extern "C" fn __wait(
    word: &AtomicU32,
    waiters: Option<&AtomicU32>,
    value: c_int,
    is_private: c_int,
) {
    let value = value.cast_unsigned();
    if let Some(waiters) = waiters {
        waiters.fetch_add(1, Ordering::SeqCst);
    }
    // SeqCst: musl's own code on the other side is made of full barriers.
    while word.load(Ordering::SeqCst) == value {
        futex::wait(word, value, Sleep::new(None, scope_of(is_private)));
    }
    if let Some(waiters) = waiters {
        waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sleeps once while `word` is `value`, until `at` on clock `clock`; a cancellation point.
/// Returns 0 or one of EINTR, ETIMEDOUT, EINVAL.
#[unsafe(no_mangle)]
extern "C" fn __timedwait_cp(
    word: &AtomicU32,
    value: c_int,
    clock: c_int,
    at: Option<&Timespec>,
    is_private: c_int,
) -> c_int {
    timed_wait(word, value, clock, at, is_private, true)
}

/// Sleeps like `__timedwait_cp`, but cannot be cancelled.
#[unsafe(no_mangle)]
extern "C" fn __timedwait(
    word: &AtomicU32,
    value: c_int,
    clock: c_int,
    at: Option<&Timespec>,
    is_private: c_int,
) -> c_int {
    timed_wait(word, value, clock, at, is_private, false)
}

fn timed_wait(
    word: &AtomicU32,
    value: c_int,
    clock: c_int,
    at: Option<&Timespec>,
    is_private: c_int,
    is_point: bool,
) -> c_int {
    let deadline = match at
        .map(|&at| Clock::from_id(clock).map(|clock| Deadline { clock, at }))
        .transpose()
    {
        Ok(deadline) => deadline,
        Err(error) => return error.errno(),
    };
    let sleep = Sleep {
        is_point,
        ..Sleep::new(deadline.as_ref(), scope_of(is_private))
    };
    let errno = match futex::wait(word, value.cast_unsigned(), sleep) {
        Wake::Look => 0,
        Wake::TimedOut => ETIMEDOUT,
        Wake::Interrupted => EINTR,
        Wake::Invalid => EINVAL,
    };
    errno.cast_signed()
}

/// Held while threads are created, and by musl while none may be.
static CREATION: AtomicU32 = AtomicU32::new(lock::FREE);

/// Keeps others from stopping thread creation.
#[unsafe(no_mangle)]
pub extern "C" fn __acquire_ptc() {
    lock::lock_internal(&CREATION);
}

/// Stops thread creation.
#[unsafe(no_mangle)]
extern "C" fn __inhibit_ptc() {
    lock::lock_internal(&CREATION);
}

/// Undoes either.
#[unsafe(no_mangle)]
pub extern "C" fn __release_ptc() {
    lock::unlock(&CREATION, Scope::Private);
}

/// Sets the calling thread's thread pointer; returns 0 or a negated error number.
#[unsafe(no_mangle)]
extern "C" fn __set_thread_area(pointer: *mut c_void) -> c_int {
    crate::arch::set_thread_pointer(pointer)
}
