//! Zeroing and copying whole pages, with general registers: kernel code has no others.

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
            "stp xzr, xzr, [{page}]",
            "stp xzr, xzr, [{page}, 16]",
            "stp xzr, xzr, [{page}, 32]",
            "stp xzr, xzr, [{page}, 48]",
            "add {page}, {page}, 64",
            "subs {count:w}, {count:w}, 1",
            "b.ne 2b",
            page = inout(reg) page => _,
            count = inout(reg) 64 => _,
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
            "ldp {a}, {b}, [{from}]",
            "ldp {c}, {d}, [{from}, 16]",
            "stp {a}, {b}, [{to}]",
            "stp {c}, {d}, [{to}, 16]",
            "add {from}, {from}, 32",
            "add {to}, {to}, 32",
            "subs {count:w}, {count:w}, 1",
            "b.ne 2b",
            to = inout(reg) to => _,
            from = inout(reg) from => _,
            count = inout(reg) 128 => _,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            options(nostack),
        );
    }
}
