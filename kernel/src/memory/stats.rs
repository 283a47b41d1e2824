//! How much memory there is, for `/proc/meminfo` and sysinfo(2).

use super::{PAGE_SIZE, address_space, frames, tables};

/// How much memory there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// What the frame allocator manages (`MemTotal`).
    pub total: usize,
    /// What is free (`MemFree`).
    pub free: usize,
    /// What new programs could get: free, without the reserve and what is promised (`MemAvailable`).
    pub available: usize,
    /// Pages of C's with a frame of their own (`AnonPages`).
    pub anonymous: usize,
    /// Pages of C's that show a file (`Mapped`).
    pub mapped: usize,
    /// Page tables, the kernel's own included (`PageTables`).
    pub page_tables: usize,
    /// The most that can be promised (`CommitLimit`).
    pub commit_limit: usize,
    /// What is promised or taken (`Committed_AS`).
    pub committed: usize,
}

/// Counts.
pub fn memory_stats() -> MemoryStats {
    let (usage, outstanding) = address_space::with(|space| (space.usage(), space.outstanding()));
    let (promised, reserve) = frames::promised_and_reserve();
    let (total, free) = (frames::total_count(), frames::free_count());
    let bytes = |pages: usize| pages * PAGE_SIZE;
    MemoryStats {
        total: bytes(total),
        free: bytes(free),
        available: bytes(free.saturating_sub(promised + reserve)),
        anonymous: bytes(usage.owned),
        mapped: bytes(usage.borrowed),
        page_tables: bytes(tables::table_count()),
        commit_limit: bytes(total.saturating_sub(reserve)),
        committed: bytes(outstanding + usage.owned),
    }
}
