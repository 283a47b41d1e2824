//! The address-space map: what `mmap`, `munmap`, `mprotect`, `mremap`, `madvise`, `msync` and
//! `mincore` mean, over any page tables.
//!
//! `AddressSpace` keeps the areas (one per mapping), decides what a call or a page fault does,
//! and asks a [`PageMapper`] for the deed: frames and page tables in the kernel, a fake in the
//! tests. Files take part through [`Backing`]. Which errors a call gives is in its manual page,
//! named at each method; the numbers are in [`MapError::errno`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod backing;
mod error;
mod flags;
mod mapper;

pub use backing::{Backing, BackingError, Identity};
pub use error::MapError;
pub use flags::{Advice, LockFlags, MapFlags, Protection, RemapFlags, SyncFlags};
pub use mapper::{Counts, Frame, FrameUse, Leaf, NoMemory, Owner, PageMapper};

/// The size of a page in bytes.
pub const PAGE_SIZE: usize = 4096;
