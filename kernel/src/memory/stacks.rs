//! Kernel stacks of threads: memory of the direct map, never unmapped, cached for reuse.

use super::{PAGE_SIZE, PhysAddr, frames, phys_to_virt, virt_to_phys};
use mmap_shim::Frame;
use smp::SpinLock;

/// Bytes of a thread's kernel stack.
pub const KERNEL_STACK_SIZE: usize = PAGE_SIZE << ORDER;

const ORDER: usize = 2;
/// How many free stacks are kept: the count that one burst of threads ending leaves behind.
const CACHED: usize = 16;

/// Free stacks, by their lowest frame.
struct Cache {
    stacks: [Frame; CACHED],
    count: usize,
}

static CACHE: SpinLock<Cache> = SpinLock::new(Cache {
    stacks: [Frame(0); CACHED],
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
    let block = match cached {
        Some(block) => block,
        None => frames::alloc_block(ORDER)?,
    };
    let bottom = phys_to_virt(PhysAddr(block.start()));
    // SAFETY: the block is ours, and a page-aligned address suits a word.
    unsafe { bottom.cast::<u64>().write(CANARY) };
    Some(bottom.expose_provenance() + KERNEL_STACK_SIZE)
}

/// What the lowest word of a kernel stack holds as long as the stack has not run over.
const CANARY: u64 = 0x5354_4143_4b45_4e44;

/// Tells whether the kernel stack with this top has stayed within its memory.
pub fn is_intact(top: usize) -> bool {
    let bottom: *const u64 = core::ptr::with_exposed_provenance(top - KERNEL_STACK_SIZE);
    // SAFETY: callers pass tops that `alloc_kernel_stack` gave; the direct map is always readable.
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
    let bottom: *const u8 = core::ptr::with_exposed_provenance(top - KERNEL_STACK_SIZE);
    let block = Frame::containing(virt_to_phys(bottom).0);
    {
        let mut cache = CACHE.lock();
        if cache.count < CACHED {
            let count = cache.count;
            cache.stacks[count] = block;
            cache.count += 1;
            return;
        }
    }
    frames::free_block(block, ORDER);
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
