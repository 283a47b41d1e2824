//! The kernel's heap: talc over blocks of frames, behind a lock that masks interrupts.

use super::address::is_in_direct_map;
use super::{PAGE_SIZE, PhysAddr, frames, phys_to_virt, scattered, virt_to_phys};
use core::alloc::{GlobalAlloc, Layout};
use mmap_shim::Frame;
use smp::SpinLock;
use talc::base::Talc;
use talc::source::GlobalAllocSource;

/// The heap grows and shrinks by at least this much.
const BLOCK: usize = 256 << 10;

/// Blocks of frames, seen through the direct map; scattered ones where there are none.
#[derive(Debug)]
struct FrameBlocks;

/// Returns the order of the smallest block that holds `size` bytes.
fn order_for(size: usize) -> usize {
    size.div_ceil(PAGE_SIZE).next_power_of_two().ilog2() as usize
}

// SAFETY: a block belongs to whoever allocated it until it is freed, and blocks are page-aligned,
// which is all that talc asks for.
unsafe impl GlobalAlloc for FrameBlocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match frames::alloc_block_critical(order_for(layout.size())) {
            Some(block) => phys_to_virt(PhysAddr(block.start())),
            None => scattered::alloc(layout.size().div_ceil(PAGE_SIZE)).map_or(
                core::ptr::null_mut(),
                core::ptr::with_exposed_provenance_mut,
            ),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_in_direct_map(pointer.addr()) {
            let block = Frame::containing(virt_to_phys(pointer).0);
            frames::free_block(block, order_for(layout.size()));
        } else {
            scattered::free(pointer.addr(), layout.size().div_ceil(PAGE_SIZE));
        }
    }
}

type Inner = Talc<GlobalAllocSource<FrameBlocks>, talc::DefaultBinning>;

/// The global allocator.
struct KernelHeap(SpinLock<Inner>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(SpinLock::new(Talc::new(
    GlobalAllocSource::with_block_size(FrameBlocks, BLOCK),
)));

// SAFETY: talc hands out memory that nobody else has until it is deallocated; the lock makes its
// calls one at a time, also against interrupt handlers.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract: the size is not 0.
        let found = unsafe { self.0.lock().allocate(layout) };
        found.map_or(core::ptr::null_mut(), |pointer| pointer.as_ptr())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract: `pointer` came from here with this layout.
        unsafe { self.0.lock().deallocate(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract: as for `dealloc`, and `new_size` is not 0.
        if unsafe {
            self.0
                .lock()
                .try_realloc_in_place(pointer, layout, new_size)
        } {
            return pointer;
        }
        // SAFETY: the caller's contract: `new_size` with this alignment does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: `new_size` is not 0.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: both are valid for the smaller of the two sizes, and apart.
            unsafe { new.copy_from_nonoverlapping(pointer, layout.size().min(new_size)) };
            // SAFETY: the caller's contract.
            unsafe { self.dealloc(pointer, layout) };
        }
        new
    }
}
