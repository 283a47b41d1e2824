//! Memory: physical frames, the kernel heap, the one address space, and how the kernel touches C's memory.
//!
//! What lies where: `docs/memory-map.md`. Lock order: a file's locks, then the address space, then
//! heap and frames.

mod address;
mod buddy;
pub mod frames;
#[cfg(target_os = "none")]
mod heap;
mod stacks;
pub mod user;

pub use address::{PAGE_SIZE, PhysAddr, phys_to_virt, virt_to_phys};
pub use frames::OwnedPage;
pub use mmap_shim::Frame;
pub use stacks::{KERNEL_STACK_SIZE, alloc_kernel_stack, free_kernel_stack, is_intact};
