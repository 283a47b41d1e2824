//! Copies to and from C's memory that survive a page fault.
//!
//! Each routine lists its instructions in `.user_copy_fixups` as (first, one past the last, where to
//! go on after a fault). The page-fault handler looks the interrupted instruction up there when it
//! cannot resolve the fault.

use crate::memory::user::Fault;
use core::arch::global_asm;

/// One past the highest address that C can use: the end of the lower half.
pub const END_OF_C: usize = 0x8000_0000_0000;

global_asm!(
    ".pushsection .text.user_copy, \"ax\", @progbits",
    // x0 = to, x1 = from, x2 = length; returns 0, or u64::MAX after a fault.
    ".globl __user_copy",
    "__user_copy:",
    "lsr x3, x2, 5",
    "cbz x3, 3f",
    "2: ldp x4, x5, [x1]",
    "ldp x6, x7, [x1, 16]",
    "stp x4, x5, [x0]",
    "stp x6, x7, [x0, 16]",
    "add x1, x1, 32",
    "add x0, x0, 32",
    "subs x3, x3, 1",
    "b.ne 2b",
    "3: ubfx x3, x2, 3, 2",
    "cbz x3, 5f",
    "4: ldr x4, [x1], 8",
    "str x4, [x0], 8",
    "subs x3, x3, 1",
    "b.ne 4b",
    "5: ands x2, x2, 7",
    "b.eq 7f",
    "6: ldrb w4, [x1], 1",
    "strb w4, [x0], 1",
    "subs x2, x2, 1",
    "b.ne 6b",
    "7: mov x0, 0",
    "ret",
    "8:",
    // x0 = word; returns it, with acquire order, or u64::MAX after a fault.
    ".globl __user_load_u32",
    "__user_load_u32:",
    "ldar w0, [x0]",
    "ret",
    "9:",
    // x0 = word, w1 = expected, w2 = new; returns what was there, or u64::MAX after a fault.
    ".globl __user_compare_exchange_u32",
    "__user_compare_exchange_u32:",
    "mov x3, x0",
    "12: ldaxr w0, [x3]",
    "cmp w0, w1",
    "b.ne 13f",
    "stlxr w4, w2, [x3]",
    "cbnz w4, 12b",
    // A full barrier, as every atomic read-modify-write is on x86.
    "dmb ish",
    "ret",
    "13: clrex",
    "ret",
    "14:",
    "15: mov x0, -1",
    "ret",
    ".popsection",
    ".pushsection .user_copy_fixups, \"a\", @progbits",
    ".balign 8",
    ".quad __user_copy, 8b, 15b",
    ".quad __user_load_u32, 9b, 15b",
    ".quad __user_compare_exchange_u32, 14b, 15b",
    ".popsection",
);

unsafe extern "C" {
    fn __user_copy(to: *mut u8, from: *const u8, len: usize) -> u64;
    fn __user_load_u32(word: *const u32) -> u64;
    fn __user_compare_exchange_u32(word: *mut u32, current: u32, new: u32) -> u64;
    static __user_copy_fixups_start: [usize; 3];
    static __user_copy_fixups_end: [usize; 3];
}

/// Copies bytes, one side of which is C's memory.
///
/// # Safety
///
/// The kernel's side is valid for `len` bytes; the other lies below [`END_OF_C`].
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), Fault> {
    // SAFETY: the caller's contract; a fault on C's side ends in the fixup.
    match unsafe { __user_copy(to, from, len) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}

/// Reads a word of C's memory, with acquire order.
///
/// # Safety
///
/// `word` is aligned and lies below [`END_OF_C`].
pub unsafe fn load_u32(word: *const u32) -> Result<u32, Fault> {
    // SAFETY: the caller's contract; a fault ends in the fixup.
    u32::try_from(unsafe { __user_load_u32(word) }).map_err(|_| Fault)
}

/// Replaces a word of C's memory if it is `current`; returns what was there.
///
/// # Safety
///
/// `word` is aligned and lies below [`END_OF_C`].
pub unsafe fn compare_exchange_u32(word: *mut u32, current: u32, new: u32) -> Result<u32, Fault> {
    // SAFETY: the caller's contract; a fault ends in the fixup.
    u32::try_from(unsafe { __user_compare_exchange_u32(word, current, new) }).map_err(|_| Fault)
}

/// Returns where to go on if the instruction at `address` is one of the copies above.
pub fn fixup(address: usize) -> Option<usize> {
    let start = &raw const __user_copy_fixups_start;
    let end = &raw const __user_copy_fixups_end;
    // SAFETY: the linker script puts the entries that the assembly above made between the two
    // symbols, in constant memory.
    let entries = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    entries
        .iter()
        .find(|[first, end, _]| (*first..*end).contains(&address))
        .map(|[_, _, fixup]| *fixup)
}
