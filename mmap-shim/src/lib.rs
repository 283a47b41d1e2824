//! The address-space map: what `mmap`, `munmap`, `mprotect`, `mremap`, `madvise`, `msync` and
//! `mincore` mean, over any page tables.
//!
//! [`AddressSpace`] keeps the areas (one per mapping), decides what a call or a page fault does,
//! and asks a [`PageMapper`] for the deed: frames and page tables in the kernel, a fake in the
//! tests. Files take part through [`Backing`]. Which errors a call gives is in its manual page,
//! named at each method.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod address_space;
mod advise;
mod area;
mod backing;
mod commit;
mod error;
mod fault;
mod flags;
mod free_space;
mod map;
mod mapper;
mod protect;
mod remap;
mod report;
mod residency;

pub use address_space::{AddressSpace, Limits};
pub use area::AreaFlags;
pub use backing::{Backing, BackingError, Identity};
pub use commit::Policy;
pub use error::MapError;
pub use fault::{Access, FaultError};
pub use flags::{Advice, LockFlags, MapFlags, Protection, RemapFlags, SyncFlags};
pub use map::{MapRequest, Mapping, Source};
pub use mapper::{Counts, Frame, FrameUse, Leaf, NoMemory, Owner, PageMapper};
pub use remap::Remapping;
pub use report::{AreaReport, Usage};

/// The size of a page in bytes.
pub const PAGE_SIZE: usize = 4096;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
