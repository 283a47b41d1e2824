//! Signals to threads, and their masks.

use core::ffi::c_int;

use linux_raw_sys::{
    errno::EINVAL,
    general::{__NR_rt_sigprocmask, __NR_tkill, SIG_BLOCK, SIG_SETMASK},
};

use super::thread::Thread;
use crate::{
    futex::Scope,
    lock,
    sys::{self, SignalMask},
};

/// One more than the largest signal: `_NSIG` of musl's `<signal.h>`.
const SIGNALS: c_int = 65;

/// musl's own signals, 32 to 34, which programs do not see.
const INTERNAL: SignalMask = 0b111 << 31;

/// Runs `act` with the id of `target`, which stays its own meanwhile. All signals are
/// blocked, so that no handler of the caller asks for the same lock.
pub fn with_id<T>(target: &Thread, act: impl FnOnce(Option<u32>) -> T) -> T {
    let mask = sys::change_signal_mask(SIG_BLOCK, SignalMask::MAX);
    lock::lock_internal(&target.body.kill_lock);
    let result = act((!target.body.lifecycle.is_exiting())
        .then(|| target.tid())
        .filter(|&tid| tid != 0));
    lock::unlock(&target.body.kill_lock, Scope::Private);
    sys::set_signal_mask(mask);
    result
}

/// Sends a signal to a thread; returns 0 or an error number.
pub fn send(target: &Thread, signal: c_int) -> c_int {
    with_id(target, |tid| match tid {
        Some(tid) => sys::call_plain(__NR_tkill, [tid as usize, signal as usize])
            .map_or_else(sys::Errno::code, |_| 0),
        // POSIX: it is no error while the thread can still be joined.
        None if (0..SIGNALS).contains(&signal) => 0,
        None => EINVAL.cast_signed(),
    })
}

/// Sends a signal to a thread; see `pthread_kill`.
#[unsafe(no_mangle)]
extern "C" fn pthread_kill(target: &Thread, signal: c_int) -> c_int {
    send(target, signal)
}

/// Changes the calling thread's signal mask; see `pthread_sigmask`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_sigmask(
    how: c_int,
    set: *const SignalMask,
    old: *mut SignalMask,
) -> c_int {
    if !set.is_null() && !(SIG_BLOCK..=SIG_SETMASK).contains(&how.cast_unsigned()) {
        return EINVAL.cast_signed();
    }
    let arguments = [
        how as usize,
        set.expose_provenance(),
        old.expose_provenance(),
        size_of::<SignalMask>(),
        0,
        0,
    ];
    // SAFETY: the kernel reads the one and writes the other, if not null, by the caller's contract.
    match unsafe { sys::call(__NR_rt_sigprocmask, arguments) } {
        Ok(_) => {
            // SAFETY: the caller's contract.
            if let Some(old) = unsafe { old.as_mut() } {
                *old &= !INTERNAL;
            }
            0
        }
        Err(error) => error.code(),
    }
}
