//! Physical addresses, and where the kernel sees them.

use crate::arch::page_table::{DEVICE_RANGE, direct_map};

/// The size of a page and of a physical frame, in bytes.
pub const PAGE_SIZE: usize = mmap_shim::PAGE_SIZE;

/// A physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysAddr(pub u64);

/// Returns where the direct map shows a physical address.
///
/// Good for RAM and for the initrd; device registers and firmware tables go through
/// [`super::map_mmio`] and [`super::map_firmware`].
#[inline]
pub fn phys_to_virt(address: PhysAddr) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(direct_map() + address.0 as usize)
}

/// Returns the physical address behind a pointer into the direct map, which
/// [`phys_to_virt`] gave. Pointers into the kernel heap may lie elsewhere.
#[inline]
pub fn virt_to_phys(pointer: *const u8) -> PhysAddr {
    debug_assert!(is_in_direct_map(pointer.addr()));
    PhysAddr((pointer.addr() - direct_map()) as u64)
}

/// Tells whether an address of kernel memory lies in the direct map.
#[inline]
pub(super) fn is_in_direct_map(address: usize) -> bool {
    (direct_map()..DEVICE_RANGE.start).contains(&address)
}
