//! Why a call of this crate can fail, and the error number C sees for it.

use core::ffi::c_int;

use linux_raw_sys::errno;

/// A cause of failure that the caller may act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The object is held or in use, and the call was asked not to wait.
    Busy,
    /// Waiting would never end: the caller holds what it asks for.
    Deadlock,
    /// The caller does not hold what it gives back.
    NotOwner,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran while the caller slept.
    Interrupted,
    /// An argument is outside its range.
    Invalid,
    /// A count is at its limit, or a resource is used up for now.
    Exhausted,
    /// A semaphore's value is at its limit.
    Overflow,
    /// The lock is taken, but the thread that held it before ended without giving it back.
    OwnerDied,
    /// The lock was given back in the inconsistent state its dead owner left behind.
    NotRecoverable,
}

impl Error {
    /// Returns the error number POSIX gives this cause.
    #[must_use]
    pub fn errno(self) -> c_int {
        let number = match self {
            Self::Busy => errno::EBUSY,
            Self::Deadlock => errno::EDEADLK,
            Self::NotOwner => errno::EPERM,
            Self::TimedOut => errno::ETIMEDOUT,
            Self::Interrupted => errno::EINTR,
            Self::Invalid => errno::EINVAL,
            Self::Exhausted => errno::EAGAIN,
            Self::Overflow => errno::EOVERFLOW,
            Self::OwnerDied => errno::EOWNERDEAD,
            Self::NotRecoverable => errno::ENOTRECOVERABLE,
        };
        number.cast_signed()
    }
}

/// Returns the number a `pthread_*` call answers with: 0 or the error.
#[must_use]
pub fn status(result: Result<(), Error>) -> c_int {
    result.map_or_else(Error::errno, |()| 0)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn error_numbers_are_those_of_linux() {
        let expected = [
            (Error::Busy, 16),
            (Error::Deadlock, 35),
            (Error::NotOwner, 1),
            (Error::TimedOut, 110),
            (Error::Interrupted, 4),
            (Error::Invalid, 22),
            (Error::Exhausted, 11),
            (Error::Overflow, 75),
            (Error::OwnerDied, 130),
            (Error::NotRecoverable, 131),
        ];
        for (error, number) in expected {
            assert_eq!(status(Err(error)), number);
        }
        assert_eq!(status(Ok(())), 0);
    }
}
