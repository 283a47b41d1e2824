//! Proofs that threads work, to be run at any time.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU64, Ordering};

use super::call::Call;
use super::enter::enter;
use super::object::{self, Error, Result, detached};
use crate::libc::errno::Errno;
use crate::self_test;

const THREADS: usize = 4;
const ROUNDS: u64 = 1000;

/// A pthread_mutex_t: musl's has 40 bytes on 64-bit machines.
#[repr(C, align(8))]
struct Mutex([u8; 40]);

unsafe extern "C" {
    fn pthread_create(
        thread: *mut usize,
        attributes: *const c_void,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
    fn pthread_join(thread: usize, result: *mut *mut c_void) -> c_int;
    fn pthread_mutex_lock(mutex: *mut Mutex) -> c_int;
    fn pthread_mutex_unlock(mutex: *mut Mutex) -> c_int;
}

/// What the threads share.
struct Shared {
    mutex: Mutex,
    /// Read and written in two steps, so that only the mutex makes the sum right.
    sum: AtomicU64,
}

extern "C" fn work(shared: *mut c_void) -> *mut c_void {
    let shared = shared.cast::<Shared>();
    for _ in 0..ROUNDS {
        // SAFETY: `run_threads` keeps the structure until the threads have been joined.
        unsafe {
            pthread_mutex_lock(&raw mut (*shared).mutex);
            let sum = &(*shared).sum;
            sum.store(sum.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            pthread_mutex_unlock(&raw mut (*shared).mutex);
        }
    }
    shared.cast()
}

/// Runs the threads; returns how many came back, and their sum.
fn run_threads() -> (usize, u64) {
    let mut shared = Shared {
        // PTHREAD_MUTEX_INITIALIZER.
        mutex: Mutex([0; 40]),
        sum: AtomicU64::new(0),
    };
    let place = (&raw mut shared).cast::<c_void>();
    let mut threads = [0; THREADS];
    let mut started = 0;
    for thread in &mut threads {
        // SAFETY: `shared` lives until the threads have been joined, below.
        if unsafe { pthread_create(thread, core::ptr::null(), work, place) } != 0 {
            break;
        }
        started += 1;
    }
    let mut joined = 0;
    for &thread in &threads[..started] {
        let mut result = core::ptr::null_mut();
        // SAFETY: the thread was started above and is joined once.
        let error = unsafe { pthread_join(thread, &raw mut result) };
        joined += usize::from(error == 0 && result == place);
    }
    (joined, shared.sum.load(Ordering::Relaxed))
}

/// `pthread_selftest()`.
pub fn threads(_: &Call) -> Result {
    if detached(run_threads) != (THREADS, THREADS as u64 * ROUNDS) {
        return Err(Error::Os(Errno::EIO, c"the threads did not do their work"));
    }
    object::int(THREADS as u64)
}

/// `smp_run_selftest()`.
pub fn cpus(_: &Call) -> Result {
    object::int(detached(|| enter(|| self_test::run(smp::online_cpus().count()))) as u64)
}
