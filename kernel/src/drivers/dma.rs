//! Memory that devices read and write, as the `virtio-drivers` crate asks for it. There is no
//! IOMMU: what a device calls an address is a physical one.

use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::memory::{self, Frame, frames};

/// The machine, to drivers of virtio devices.
pub struct Machine;

fn order_of(pages: usize) -> usize {
    pages.next_power_of_two().trailing_zeros() as usize
}

// SAFETY: the functions below do as `Hal` wants: blocks come from the frame allocator alone and are
// seen through the direct map, as shared buffers are, which drivers take from the kernel heap.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let Some(block) = frames::alloc_block(order_of(pages)) else {
            // Address 0 tells the driver that there is no memory.
            return (0, NonNull::dangling());
        };
        let address = memory::PhysAddr(block.start());
        let pointer = memory::phys_to_virt(address);
        // SAFETY: the block is ours, and the direct map shows all of it.
        unsafe { pointer.write_bytes(0, pages * PAGE_SIZE) };
        (
            address.0,
            NonNull::new(pointer).expect("the direct map is not at 0"),
        )
    }

    unsafe fn dma_dealloc(address: PhysAddr, _: NonNull<u8>, pages: usize) -> i32 {
        frames::free_block(Frame::containing(address), order_of(pages));
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, size: usize) -> NonNull<u8> {
        // SAFETY: the caller's contract: a region of the device that it drives.
        let pointer = unsafe { memory::map_mmio(memory::PhysAddr(address), size) };
        NonNull::new(pointer).expect("the window of devices is not at 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        memory::virt_to_phys(buffer.cast::<u8>().as_ptr()).0
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
