//! `pthread_mutexattr_*`, and the attributes of conditions, read-write locks and barriers,
//! which know little more than whether other processes share them.

use core::ffi::c_int;

use linux_raw_sys::errno::{EINVAL, EOPNOTSUPP as ENOTSUP};

use crate::{futex::Scope, mutex::Kind, time::Clock};

/// Makes a flag of a C `int` that may be 0 or 1.
fn flag(value: c_int) -> Option<bool> {
    match value {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Runs `set` on a valid flag; answers EINVAL to another value.
fn with_flag(value: c_int, set: impl FnOnce(bool)) -> c_int {
    match flag(value) {
        Some(value) => {
            set(value);
            0
        }
        None => EINVAL.cast_signed(),
    }
}

/// See `pthread_mutexattr_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_init(kind: &mut Kind) -> c_int {
    *kind = Kind::default();
    0
}

/// See `pthread_mutexattr_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_destroy(_kind: &mut Kind) -> c_int {
    0
}

/// See `pthread_mutexattr_gettype`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_gettype(kind: &Kind, number: &mut c_int) -> c_int {
    *number = kind.type_number().cast_signed();
    0
}

/// See `pthread_mutexattr_settype`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_settype(kind: &mut Kind, number: c_int) -> c_int {
    match kind.with_type(number.cast_unsigned()) {
        Ok(new) => {
            *kind = new;
            0
        }
        Err(error) => error.errno(),
    }
}

/// See `pthread_mutexattr_getrobust`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_getrobust(kind: &Kind, robust: &mut c_int) -> c_int {
    *robust = c_int::from(kind.is_robust());
    0
}

/// See `pthread_mutexattr_setrobust`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_setrobust(kind: &mut Kind, robust: c_int) -> c_int {
    with_flag(robust, |robust| *kind = kind.with_robust(robust))
}

/// See `pthread_mutexattr_getpshared`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_getpshared(kind: &Kind, shared: &mut c_int) -> c_int {
    *shared = c_int::from(kind.scope() == Scope::Shared);
    0
}

/// See `pthread_mutexattr_setpshared`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_setpshared(kind: &mut Kind, shared: c_int) -> c_int {
    with_flag(shared, |shared| *kind = kind.with_shared(shared))
}

/// See `pthread_mutexattr_getprotocol`: `PTHREAD_PRIO_NONE`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_getprotocol(_kind: &Kind, protocol: &mut c_int) -> c_int {
    *protocol = 0;
    0
}

/// See `pthread_mutexattr_setprotocol`: the scheduler has no priorities to lend.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_setprotocol(_kind: &mut Kind, protocol: c_int) -> c_int {
    match protocol {
        0 => 0,
        1 | 2 => ENOTSUP.cast_signed(),
        _ => EINVAL.cast_signed(),
    }
}

/// See `pthread_mutexattr_getprioceiling`: there is none without the protocol.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_getprioceiling(_kind: &Kind, _ceiling: &mut c_int) -> c_int {
    EINVAL.cast_signed()
}

/// See `pthread_mutexattr_setprioceiling`: there is none without the protocol.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutexattr_setprioceiling(_kind: &mut Kind, _ceiling: c_int) -> c_int {
    EINVAL.cast_signed()
}

/// `pthread_condattr_t`: the clock's number, and a bit for sharing.
#[repr(transparent)]
pub struct ConditionKind(u32);

const SHARED: u32 = 1 << 31;

impl ConditionKind {
    /// Returns the clock of time-outs.
    pub fn clock(&self) -> Clock {
        Clock::from_id((self.0 & !SHARED).cast_signed()).unwrap_or(Clock::Realtime)
    }
}

/// See `pthread_condattr_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_condattr_init(kind: &mut ConditionKind) -> c_int {
    kind.0 = 0;
    0
}

/// See `pthread_condattr_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_condattr_destroy(_kind: &mut ConditionKind) -> c_int {
    0
}

/// See `pthread_condattr_getclock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_condattr_getclock(kind: &ConditionKind, clock: &mut c_int) -> c_int {
    *clock = (kind.0 & !SHARED).cast_signed();
    0
}

/// See `pthread_condattr_setclock`: `CLOCK_REALTIME` or `CLOCK_MONOTONIC`.
#[unsafe(no_mangle)]
extern "C" fn pthread_condattr_setclock(kind: &mut ConditionKind, clock: c_int) -> c_int {
    if let Err(error) = Clock::from_id(clock) {
        return error.errno();
    }
    kind.0 = kind.0 & SHARED | clock.cast_unsigned();
    0
}

/// See `pthread_condattr_getpshared`.
#[unsafe(no_mangle)]
extern "C" fn pthread_condattr_getpshared(kind: &ConditionKind, shared: &mut c_int) -> c_int {
    *shared = c_int::from(kind.0 & SHARED != 0);
    0
}

/// See `pthread_condattr_setpshared`. All threads run in one address space, so a condition
/// needs nothing for it.
#[unsafe(no_mangle)]
extern "C" fn pthread_condattr_setpshared(kind: &mut ConditionKind, shared: c_int) -> c_int {
    with_flag(shared, |shared| {
        kind.0 = kind.0 & !SHARED | if shared { SHARED } else { 0 }
    })
}

/// `pthread_rwlockattr_t` and, in its first word, `pthread_barrierattr_t`.
#[repr(transparent)]
pub struct SharingKind(u32);

impl SharingKind {
    /// Returns whom the object is shared with.
    pub fn scope(kind: Option<&Self>) -> Scope {
        if kind.is_some_and(|kind| kind.0 != 0) {
            Scope::Shared
        } else {
            Scope::Private
        }
    }

    fn init(&mut self) -> c_int {
        self.0 = 0;
        0
    }

    fn get(&self, shared: &mut c_int) -> c_int {
        *shared = c_int::from(self.0 != 0);
        0
    }

    fn set(&mut self, shared: c_int) -> c_int {
        with_flag(shared, |shared| self.0 = u32::from(shared))
    }
}

/// See `pthread_rwlockattr_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlockattr_init(kind: &mut SharingKind) -> c_int {
    kind.init()
}

/// See `pthread_rwlockattr_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlockattr_destroy(_kind: &mut SharingKind) -> c_int {
    0
}

/// See `pthread_rwlockattr_getpshared`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlockattr_getpshared(kind: &SharingKind, shared: &mut c_int) -> c_int {
    kind.get(shared)
}

/// See `pthread_rwlockattr_setpshared`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlockattr_setpshared(kind: &mut SharingKind, shared: c_int) -> c_int {
    kind.set(shared)
}

/// See `pthread_barrierattr_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrierattr_init(kind: &mut SharingKind) -> c_int {
    kind.init()
}

/// See `pthread_barrierattr_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrierattr_destroy(_kind: &mut SharingKind) -> c_int {
    0
}

/// See `pthread_barrierattr_getpshared`.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrierattr_getpshared(kind: &SharingKind, shared: &mut c_int) -> c_int {
    kind.get(shared)
}

/// See `pthread_barrierattr_setpshared`.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrierattr_setpshared(kind: &mut SharingKind, shared: c_int) -> c_int {
    kind.set(shared)
}
