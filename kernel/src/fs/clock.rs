//! The time that goes into inodes.

use super::file::Timestamp;
use crate::libc::time;

/// Returns the time of day.
pub fn now() -> Timestamp {
    Timestamp(time::realtime_ns().cast_signed())
}
