//! Copies to and from C's memory that survive a page fault.
//!
//! Each routine lists its instructions in `.user_copy_fixups` as (first, one past the last, where to
//! go on after a fault). The page-fault handler looks the interrupted instruction up there when it
//! cannot resolve the fault.

use crate::memory::user::Fault;
use core::arch::global_asm;

/// One past the highest address that C can use: the end of the lower canonical half.
pub const END_OF_C: usize = 0x8000_0000_0000;

global_asm!(
    ".pushsection .text.user_copy, \"ax\", @progbits",
    // rdi = to, rsi = from, rdx = length; returns 0, or u64::MAX after a fault. Plain loops:
    // under emulation `rep movs` is the slower way (docs/testing.md has the figures), and on real
    // machines most of these copies are short.
    ".globl __user_copy",
    "__user_copy:",
    "mov rcx, rdx",
    "shr rcx, 5",
    "jz 3f",
    "2: mov rax, [rsi]",
    "mov r8, [rsi + 8]",
    "mov r9, [rsi + 16]",
    "mov r10, [rsi + 24]",
    "mov [rdi], rax",
    "mov [rdi + 8], r8",
    "mov [rdi + 16], r9",
    "mov [rdi + 24], r10",
    "add rsi, 32",
    "add rdi, 32",
    "dec rcx",
    "jnz 2b",
    "3: mov ecx, edx",
    "and ecx, 31",
    "shr ecx, 3",
    "jz 5f",
    "4: mov rax, [rsi]",
    "mov [rdi], rax",
    "add rsi, 8",
    "add rdi, 8",
    "dec ecx",
    "jnz 4b",
    "5: and edx, 7",
    "jz 7f",
    "6: mov al, [rsi]",
    "mov [rdi], al",
    "inc rsi",
    "inc rdi",
    "dec edx",
    "jnz 6b",
    "7: xor eax, eax",
    "ret",
    "8:",
    // rdi = word; returns it, or u64::MAX after a fault.
    ".globl __user_load_u32",
    "__user_load_u32:",
    "mov eax, [rdi]",
    "ret",
    "9:",
    // rdi = word, esi = expected, edx = new; returns what was there, or u64::MAX after a fault.
    ".globl __user_compare_exchange_u32",
    "__user_compare_exchange_u32:",
    "mov eax, esi",
    "lock cmpxchg [rdi], edx",
    "mov eax, eax",
    "ret",
    "20:",
    "21: mov rax, -1",
    "ret",
    ".popsection",
    ".pushsection .user_copy_fixups, \"a\", @progbits",
    ".balign 8",
    ".quad __user_copy, 8b, 21b",
    ".quad __user_load_u32, 9b, 21b",
    ".quad __user_compare_exchange_u32, 20b, 21b",
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

/// Reads a word of C's memory, with acquire order (every x86 load has it).
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
