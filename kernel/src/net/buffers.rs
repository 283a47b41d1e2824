//! The memory that sockets buffer in: they get none when there is not much left.
//!
//! smoltcp's buffers are as long as they are from the beginning, whether they are ever filled. Nobody but the peers of
//! this machine decides how many connections it has, so a part of the memory is never theirs.

use crate::libc::errno::Errno;
use crate::memory::{PAGE_SIZE, frames};

/// The part of all memory that stays for others.
const OTHERS: usize = 8;

/// Tells whether sockets may have so many bytes more; `ENOBUFS` if not.
pub fn check(len: usize) -> Result<(), Errno> {
    let (promised, reserve) = frames::promised_and_reserve();
    let available = frames::free_count().saturating_sub(promised + reserve);
    let fits = may_take(
        len,
        available * PAGE_SIZE,
        frames::total_count() * PAGE_SIZE,
    );
    // On the host the heap is not made of frames.
    if fits || !cfg!(target_os = "none") {
        Ok(())
    } else {
        Err(Errno::ENOBUFS)
    }
}

fn may_take(len: usize, available: usize, total: usize) -> bool {
    len + total / OTHERS <= available
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_memory_stays_for_others() {
        assert!(may_take(100, 225, 1000));
        assert!(!may_take(101, 225, 1000));
        assert!(!may_take(1, 0, 1000));
    }
}
