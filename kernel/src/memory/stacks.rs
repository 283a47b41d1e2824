//! Kernel stacks of threads: memory that is never unmapped, cached for reuse.

use super::address::is_in_direct_map;
use super::{PAGE_SIZE, PhysAddr, frames, phys_to_virt, scattered, virt_to_phys};
use mmap_shim::Frame;
use smp::SpinLock;

/// Bytes of a thread's kernel stack.
pub const KERNEL_STACK_SIZE: usize = PAGE_SIZE << ORDER;

const ORDER: usize = 2;
/// How many free stacks are kept: the count that one burst of threads ending leaves behind.
const CACHED: usize = 16;

/// Free stacks, by their lowest address.
struct Cache {
    stacks: [usize; CACHED],
    count: usize,
}

static CACHE: SpinLock<Cache> = SpinLock::new(Cache {
    stacks: [0; CACHED],
    count: 0,
});

/// Takes a kernel stack and returns its top (16-byte aligned, the first push goes below it);
/// `None` when memory is short.
///
/// Its lowest word is [`CANARY`]: [`is_intact`] tells whether the stack has run over.
pub fn alloc_kernel_stack() -> Option<usize> {
    let cached = {
        let mut cache = CACHE.lock();
        cache.count.checked_sub(1).map(|last| {
            cache.count = last;
            cache.stacks[last]
        })
    };
    let bottom = cached.or_else(alloc_memory)?;
    let lowest: *mut u64 = core::ptr::with_exposed_provenance_mut(bottom);
    // SAFETY: the memory is ours, and a page-aligned address suits a word.
    unsafe { lowest.write(CANARY) };
    Some(bottom + KERNEL_STACK_SIZE)
}

/// Takes memory for a stack: a block, or scattered frames if there are enough for ordinary use.
fn alloc_memory() -> Option<usize> {
    if let Some(block) = frames::alloc_block(ORDER) {
        return Some(phys_to_virt(PhysAddr(block.start())).expose_provenance());
    }
    let has_room = frames::has_room(1 << ORDER);
    has_room.then(|| scattered::alloc(1 << ORDER)).flatten()
}

/// What the lowest word of a kernel stack holds as long as the stack has not run over.
const CANARY: u64 = 0x5354_4143_4b45_4e44;

/// Tells whether the kernel stack with this top has stayed within its memory.
pub fn is_intact(top: usize) -> bool {
    let bottom: *const u64 = core::ptr::with_exposed_provenance(top - KERNEL_STACK_SIZE);
    // SAFETY: callers pass tops that `alloc_kernel_stack` gave, whose memory is never unmapped.
    unsafe { bottom.read_volatile() == CANARY }
}

/// Gives a kernel stack back.
///
/// # Safety
///
/// `top` came from [`alloc_kernel_stack`], and no CPU runs on the stack or will.
pub unsafe fn free_kernel_stack(top: usize) {
    assert!(
        is_intact(top),
        "the kernel stack below {top:#x} has overflowed"
    );
    let bottom = top - KERNEL_STACK_SIZE;
    {
        let mut cache = CACHE.lock();
        if cache.count < CACHED {
            let count = cache.count;
            cache.stacks[count] = bottom;
            cache.count += 1;
            return;
        }
    }
    if is_in_direct_map(bottom) {
        let start: *const u8 = core::ptr::with_exposed_provenance(bottom);
        frames::free_block(Frame::containing(virt_to_phys(start).0), ORDER);
    } else {
        scattered::free(bottom, 1 << ORDER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::frames::{free_count, testing::machine};

    #[test]
    fn stacks_come_back_and_an_overflow_shows() {
        let _turn = machine();
        let before = free_count();
        let tops: Vec<usize> = (0..40)
            .map(|_| alloc_kernel_stack().expect("memory"))
            .collect();
        for &top in &tops {
            assert!(top.is_multiple_of(16) && is_intact(top));
        }
        let bottom: *mut u64 = core::ptr::with_exposed_provenance_mut(tops[0] - KERNEL_STACK_SIZE);
        // SAFETY: the stack is ours.
        unsafe {
            bottom.write(0);
            assert!(!is_intact(tops[0]));
            bottom.write(CANARY);
        }
        for top in tops {
            // SAFETY: nobody runs on it.
            unsafe { free_kernel_stack(top) };
        }
        assert_eq!(before - free_count(), CACHED << ORDER);
    }
}
