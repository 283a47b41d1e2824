//! Memory: physical frames, the kernel heap, the one address space, and how the kernel touches C's memory.
//!
//! What lies where: `docs/memory-map.md`. Lock order: a file's locks, then the address space, then
//! heap and frames.

mod address;
pub mod address_space;
mod buddy;
pub mod frames;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod init;
mod mapper;
mod mmio;
mod page_fault;
#[cfg(target_os = "none")]
pub mod physical;
#[cfg(any(test, target_os = "none"))]
mod scattered;
mod stacks;
mod stats;
mod tables;
pub mod user;

pub use address::{PAGE_SIZE, PhysAddr, phys_to_virt, virt_to_phys};
pub use frames::OwnedPage;
#[cfg(target_os = "none")]
pub use init::{init, init_secondary, map_start_page, page_table_root};
pub use mmap_shim::{Access, Frame};
pub use mmio::{map_firmware, map_mmio};
pub use page_fault::{FaultOutcome, FaultReason, fault_count, handle_page_fault};
pub use stacks::{
    KERNEL_STACK_SIZE, STACK_GUARD_SIZE, alloc_cpu_stacks, alloc_kernel_stack, free_kernel_stack,
    is_stack_guard, trim_kernel_stacks,
};
pub use stats::{MemoryStats, memory_stats};
