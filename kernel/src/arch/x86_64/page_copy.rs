//! Zeroing and copying whole pages.
//!
//! Plain 64-bit stores, unrolled: under emulation each iteration of `rep stos` costs more than eight
//! of them, and on real machines the loop is bound by memory all the same.

use core::arch::asm;

/// Fills the page at `page` with zeros.
///
/// # Safety
///
/// `page` is page-aligned, valid for a page of writes, and nobody else uses it.
#[inline]
pub unsafe fn zero_page(page: *mut u8) {
    // SAFETY: the caller's contract; the loop writes exactly 64 * 64 bytes.
    unsafe {
        asm!(
            "2:",
            "mov [{page}], {zero}",
            "mov [{page} + 8], {zero}",
            "mov [{page} + 16], {zero}",
            "mov [{page} + 24], {zero}",
            "mov [{page} + 32], {zero}",
            "mov [{page} + 40], {zero}",
            "mov [{page} + 48], {zero}",
            "mov [{page} + 56], {zero}",
            "add {page}, 64",
            "dec {count:e}",
            "jnz 2b",
            page = inout(reg) page => _,
            count = inout(reg) 64 => _,
            zero = in(reg) 0u64,
            options(nostack),
        );
    }
}

/// Copies the page at `from` to the page at `to`.
///
/// # Safety
///
/// Both are page-aligned and valid for a page; `to` is nobody else's.
#[inline]
pub unsafe fn copy_page(to: *mut u8, from: *const u8) {
    // SAFETY: the caller's contract; the loop copies exactly 128 * 32 bytes.
    unsafe {
        asm!(
            "2:",
            "mov {a}, [{from}]",
            "mov {b}, [{from} + 8]",
            "mov [{to}], {a}",
            "mov [{to} + 8], {b}",
            "mov {a}, [{from} + 16]",
            "mov {b}, [{from} + 24]",
            "mov [{to} + 16], {a}",
            "mov [{to} + 24], {b}",
            "add {from}, 32",
            "add {to}, 32",
            "dec {count:e}",
            "jnz 2b",
            to = inout(reg) to => _,
            from = inout(reg) from => _,
            count = inout(reg) 128 => _,
            a = out(reg) _,
            b = out(reg) _,
            options(nostack),
        );
    }
}
