//! The atomics and cells that the waiting code is made of: the real ones, or loom's under
//! `--cfg loom`, where every interleaving of them is tried.

#[cfg(not(loom))]
pub use core::{
    cell::Cell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

#[cfg(loom)]
pub use loom::{cell::Cell, sync::atomic::Ordering};
#[cfg(loom)]
pub use smp::loom_atomics::{AtomicU32, AtomicU64};
