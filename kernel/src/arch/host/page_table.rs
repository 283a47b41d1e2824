//! On the host, "physical memory" is an array: frames and page tables work in it as on the machine.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::{Layout, alloc_zeroed};
use std::sync::Once;

/// Bytes of pretended physical memory.
pub const PHYSICAL_MEMORY: usize = 64 << 20;

static BASE: AtomicUsize = AtomicUsize::new(0);
static MAKE: Once = Once::new();

/// Returns where physical address 0 is seen.
pub fn direct_map() -> usize {
    MAKE.call_once(|| {
        let layout = Layout::from_size_align(PHYSICAL_MEMORY, 4 << 20).expect("a valid layout");
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc_zeroed(layout) };
        assert!(!memory.is_null(), "the host has 64 MiB");
        BASE.store(memory.expose_provenance(), Ordering::Release);
    });
    BASE.load(Ordering::Acquire)
}
