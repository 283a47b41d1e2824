//! What the host offers that nobody can predict.

use std::hash::{BuildHasher, RandomState};

/// Returns a random number of the host's.
pub fn hardware_random() -> Option<u64> {
    Some(RandomState::new().hash_one(0u8))
}

/// Returns a count that grows fast.
pub fn cycle_counter() -> u64 {
    super::uptime_ns()
}
