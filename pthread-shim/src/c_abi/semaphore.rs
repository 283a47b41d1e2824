//! `sem_*`, but for named semaphores: those are files, and musl's own code over `open` and
//! `mmap` makes them.

use core::{
    cell::UnsafeCell,
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr,
};

use linux_raw_sys::errno::EINVAL;

use super::{cancel, thread::errno_status};
use crate::{
    error::Error,
    futex::Scope,
    semaphore::{MAX, Semaphore},
    time::{Clock, Deadline, Timespec},
};

/// `sem_t`, which C aligns to 4 bytes: the state sits in whichever of two places is aligned
/// to 8. musl's `sem_open` initialises one semaphore and copies its bytes to another
/// address, so both places begin with the value.
#[repr(C)]
pub struct SemT {
    if_aligned: UnsafeCell<[u32; 2]>,
    is_shared: u32,
    if_not: UnsafeCell<[u32; 2]>,
    _unused: [u32; 3],
}

const _: () = assert!(
    size_of::<SemT>() == 32 && align_of::<SemT>() == 4,
    "musl's sem_t"
);
const _: () = assert!(core::mem::offset_of!(SemT, if_not) % 8 == 4);

impl SemT {
    fn state(&self) -> &Semaphore {
        let places =
            [self.if_aligned.get(), self.if_not.get()].map(|place| place.cast::<Semaphore>());
        let place = if places[0].is_aligned() {
            places[0]
        } else {
            places[1]
        };
        // SAFETY: aligned, as the places are 4 bytes apart modulo 8, and initialised by
        // `sem_init` or a copy of what that wrote; only ever used as a semaphore.
        unsafe { &*place }
    }

    fn scope(&self) -> Scope {
        if self.is_shared == 0 {
            Scope::Private
        } else {
            Scope::Shared
        }
    }

    fn wait(&self, deadline: Option<&Deadline>) -> Result<(), c_int> {
        cancel::pthread_testcancel();
        let (state, scope) = (self.state(), self.scope());
        if state.try_wait().is_ok() {
            return Ok(());
        }
        state.enter();
        let argument = ptr::from_ref(self).cast_mut().cast();
        cancel::with_cleanup(cancelled, argument, || state.sleep(deadline, scope)).map_err(
            |error| {
                state.leave();
                error.errno()
            },
        )
    }
}

/// Runs when the waiting thread is cancelled.
unsafe extern "C" fn cancelled(semaphore: *mut c_void) {
    // SAFETY: pushed by `wait` with this argument, which outlives the wait.
    let semaphore = unsafe { &*semaphore.cast::<SemT>() };
    semaphore.state().abandon(semaphore.scope());
}

/// Initialises a semaphore; see `sem_init`.
#[unsafe(no_mangle)]
extern "C" fn sem_init(semaphore: &mut MaybeUninit<SemT>, shared: c_int, value: u32) -> c_int {
    if value > MAX {
        return errno_status(Err(EINVAL.cast_signed()));
    }
    semaphore.write(SemT {
        // Low half value, high half waiters.
        if_aligned: UnsafeCell::new([value, 0]),
        is_shared: u32::from(shared != 0),
        if_not: UnsafeCell::new([value, 0]),
        _unused: [0; 3],
    });
    0
}

/// Ends the use of a semaphore; see `sem_destroy`.
#[unsafe(no_mangle)]
extern "C" fn sem_destroy(_semaphore: &SemT) -> c_int {
    0
}

/// Adds one; see `sem_post`.
#[unsafe(no_mangle)]
pub extern "C" fn sem_post(semaphore: &SemT) -> c_int {
    let scope = semaphore.scope();
    errno_status(semaphore.state().post(scope).map_err(Error::errno))
}

/// Takes one; see `sem_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn sem_wait(semaphore: &SemT) -> c_int {
    errno_status(semaphore.wait(None))
}

/// Takes one if there is one; see `sem_trywait`.
#[unsafe(no_mangle)]
extern "C" fn sem_trywait(semaphore: &SemT) -> c_int {
    let result = semaphore.state().try_wait();
    // POSIX's name for it here.
    errno_status(result.map_err(|_| linux_raw_sys::errno::EAGAIN.cast_signed()))
}

/// Takes one until a time of `CLOCK_REALTIME`; see `sem_timedwait`.
#[unsafe(no_mangle)]
extern "C" fn sem_timedwait(semaphore: &SemT, at: Option<&Timespec>) -> c_int {
    let deadline = at.map(|&at| Deadline {
        clock: Clock::Realtime,
        at,
    });
    errno_status(semaphore.wait(deadline.as_ref()))
}

/// Takes one until a time of `clock`; see `sem_clockwait`.
#[unsafe(no_mangle)]
extern "C" fn sem_clockwait(semaphore: &SemT, clock: c_int, at: &Timespec) -> c_int {
    errno_status(match Clock::from_id(clock) {
        Ok(clock) => semaphore.wait(Some(&Deadline { clock, at: *at })),
        Err(error) => Err(error.errno()),
    })
}

/// Returns the value; see `sem_getvalue`.
#[unsafe(no_mangle)]
extern "C" fn sem_getvalue(semaphore: &SemT, value: &mut c_int) -> c_int {
    *value = semaphore.state().value().cast_signed();
    0
}
