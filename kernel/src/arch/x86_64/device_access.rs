//! Reading and writing at an address that may be wrong: one instruction each, with a fixup as in
//! `user_copy`.

use core::arch::global_asm;

use crate::memory::user::Fault;

global_asm!(
    ".pushsection .text.device_access, \"ax\", @progbits",
    // rdi = address; returns the value, or u64::MAX after a fault.
    ".globl __device_load_u8, __device_load_u16, __device_load_u32",
    "__device_load_u8:",
    "movzx eax, byte ptr [rdi]",
    "ret",
    "__device_load_u16:",
    "movzx eax, word ptr [rdi]",
    "ret",
    "__device_load_u32:",
    "mov eax, [rdi]",
    "ret",
    // rdi = address, esi = value; returns 0, or u64::MAX after a fault.
    ".globl __device_store_u8, __device_store_u16, __device_store_u32",
    "__device_store_u8:",
    "mov [rdi], sil",
    "xor eax, eax",
    "ret",
    "__device_store_u16:",
    "mov [rdi], si",
    "xor eax, eax",
    "ret",
    "__device_store_u32:",
    "mov [rdi], esi",
    "xor eax, eax",
    "ret",
    "30:",
    "31: mov rax, -1",
    "ret",
    ".popsection",
    ".pushsection .user_copy_fixups, \"a\", @progbits",
    ".balign 8",
    ".quad __device_load_u8, 30b, 31b",
    ".popsection",
);

unsafe extern "C" {
    fn __device_load_u8(address: usize) -> u64;
    fn __device_load_u16(address: usize) -> u64;
    fn __device_load_u32(address: usize) -> u64;
    fn __device_store_u8(address: usize, value: u32) -> u64;
    fn __device_store_u16(address: usize, value: u32) -> u64;
    fn __device_store_u32(address: usize, value: u32) -> u64;
}

/// Reads one, two or four bytes.
///
/// # Safety
///
/// The address is canonical and aligned; what reading does to a device there is what the caller wants.
pub unsafe fn load(address: usize, width: usize) -> Result<u32, Fault> {
    // SAFETY: the caller's contract; a fault ends in the fixup.
    let value = unsafe {
        match width {
            1 => __device_load_u8(address),
            2 => __device_load_u16(address),
            _ => __device_load_u32(address),
        }
    };
    u32::try_from(value).map_err(|_| Fault)
}

/// Writes one, two or four bytes.
///
/// # Safety
///
/// The address is canonical and aligned, and what lies there is the caller's to write.
pub unsafe fn store(address: usize, width: usize, value: u32) -> Result<(), Fault> {
    // SAFETY: the caller's contract; a fault ends in the fixup.
    let result = unsafe {
        match width {
            1 => __device_store_u8(address, value),
            2 => __device_store_u16(address, value),
            _ => __device_store_u32(address, value),
        }
    };
    if result == 0 { Ok(()) } else { Err(Fault) }
}
