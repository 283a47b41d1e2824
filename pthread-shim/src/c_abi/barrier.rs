//! `pthread_barrier_*`.

use core::{ffi::c_int, mem::MaybeUninit};

use super::mutex_attributes::SharingKind;
use crate::{
    barrier::{Barrier, Passed},
    error::status,
};

/// `PTHREAD_BARRIER_SERIAL_THREAD` of musl's `<pthread.h>`.
const SERIAL_THREAD: c_int = -1;

/// Initialises a barrier; see `pthread_barrier_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrier_init(
    barrier: &mut MaybeUninit<Barrier>,
    kind: Option<&SharingKind>,
    count: u32,
) -> c_int {
    status(Barrier::new(count, SharingKind::scope(kind)).map(|new| {
        barrier.write(new);
    }))
}

/// Ends the use of a barrier, once all threads have left it; see `pthread_barrier_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrier_destroy(barrier: &Barrier) -> c_int {
    status(barrier.destroy())
}

/// Waits for the others; see `pthread_barrier_wait`.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrier_wait(barrier: &Barrier) -> c_int {
    match barrier.wait() {
        Passed::Last => SERIAL_THREAD,
        Passed::Other => 0,
    }
}
