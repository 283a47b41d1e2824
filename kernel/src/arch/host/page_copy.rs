//! Zeroing and copying whole pages, on the host.

use crate::memory::PAGE_SIZE;

/// Fills the page at `page` with zeros.
///
/// # Safety
///
/// `page` is valid for a page of writes, and nobody else uses it.
pub unsafe fn zero_page(page: *mut u8) {
    // SAFETY: the caller's contract.
    unsafe { page.write_bytes(0, PAGE_SIZE) }
}

/// Copies the page at `from` to the page at `to`.
///
/// # Safety
///
/// Both are valid for a page, and apart.
pub unsafe fn copy_page(to: *mut u8, from: *const u8) {
    // SAFETY: the caller's contract.
    unsafe { to.copy_from_nonoverlapping(from, PAGE_SIZE) }
}
