//! Clocks and absolute deadlines.
//!
//! Every wait takes an absolute deadline on a named clock and hands both to the kernel as
//! they are. Nothing here reads a clock, so a step of the wall clock moves the end of the
//! waits on `CLOCK_REALTIME`, as POSIX wants, and of no other.

use core::ffi::c_int;

use linux_raw_sys::general::{CLOCK_MONOTONIC, CLOCK_REALTIME};

use crate::error::Error;

/// A clock that a wait can end on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock, which may be set.
    Realtime,
    /// Time since the start of the machine, which nothing can set.
    Monotonic,
}

impl Clock {
    /// Returns the clock with number `id` of `<time.h>`; waits know two.
    ///
    /// # Errors
    ///
    /// `Invalid` for any other clock.
    pub fn from_id(id: c_int) -> Result<Self, Error> {
        match u32::try_from(id) {
            Ok(CLOCK_REALTIME) => Ok(Self::Realtime),
            Ok(CLOCK_MONOTONIC) => Ok(Self::Monotonic),
            _ => Err(Error::Invalid),
        }
    }
}

/// C's `struct timespec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timespec {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, 0 to 999,999,999.
    pub nanoseconds: i64,
}

impl Timespec {
    /// Tells whether the nanoseconds are in range, which POSIX asks of every deadline.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (0..1_000_000_000).contains(&self.nanoseconds)
    }
}

/// The moment at which a wait gives up.
///
/// Its time is checked only when a wait has to sleep: POSIX lets a lock that is free be
/// taken whatever the deadline says.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The clock that `at` is read on.
    pub clock: Clock,
    /// The absolute time.
    pub at: Timespec,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_settled_clocks_can_be_waited_on() {
        assert_eq!(Clock::from_id(0), Ok(Clock::Realtime));
        assert_eq!(Clock::from_id(1), Ok(Clock::Monotonic));
        for id in [-6, -1, 2, 3, 4, 7, 11, 12, i32::MAX] {
            assert_eq!(Clock::from_id(id), Err(Error::Invalid));
        }
    }

    #[test]
    fn nanoseconds_have_a_range() {
        for (nanoseconds, valid) in [
            (0, true),
            (999_999_999, true),
            (-1, false),
            (1_000_000_000, false),
        ] {
            assert_eq!(
                Timespec {
                    seconds: 5,
                    nanoseconds
                }
                .is_valid(),
                valid
            );
        }
    }
}
