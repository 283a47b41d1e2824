//! The assembly that every interrupt and exception enters and leaves through.
//!
//! The CPU has switched to the vector's interrupt stack and pushed SS, RSP,
//! RFLAGS, CS, RIP and, for some exceptions, an error code. A stub adds what is
//! missing so that every handler sees the same `TrapFrame`.

use core::arch::global_asm;

use super::gdt::{IST_EXCEPTION, IST_PAGE_FAULT, LEVEL_SIZE};
use super::per_cpu::ist_offset;
use super::traps;

/// The registers of the interrupted code, as the stubs push them.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Bytes from one stub to the next.
pub const STUB_STRIDE: usize = 16;

global_asm!(
    ".pushsection .text.trap_stubs, \"ax\", @progbits",
    ".balign 16",
    ".global trap_stubs",
    "trap_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign {stride}",
    // Vectors with an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX
    // (Intel SDM volume 3, table 6-1; AMD64 manual volume 2, table 8-1).
    ".if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30",
    ".else",
    "push 0",
    ".endif",
    "push vector",
    ".if vector == 2 || vector == 8 || vector == 18",
    "jmp trap_fatal_or_nmi",
    ".elseif vector == 14",
    "jmp trap_page_fault",
    ".elseif vector < 32",
    "jmp trap_exception",
    ".else",
    "jmp trap_interrupt",
    ".endif",
    ".set vector, vector + 1",
    ".endr",
    // Saves the registers. The direction flag is the interrupted code's; Rust
    // needs it clear. A zero rbp ends the handler's own chain of stack frames.
    ".macro save_registers",
    "push rax",
    "push rbx",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rbp",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "xor ebp, ebp",
    "mov rdi, rsp",
    ".endm",
    ".macro restore_registers_and_return",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rbp",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rbx",
    "pop rax",
    "add rsp, 16",
    "iretq",
    ".endm",
    ".balign 16",
    "trap_interrupt:",
    "save_registers",
    "call {interrupt}",
    "restore_registers_and_return",
    // A fault in here enters the same vector again; the moved IST entry gives
    // it a stack below this one.
    ".balign 16",
    "trap_page_fault:",
    "save_registers",
    "sub qword ptr gs:[{page_fault_ist}], {level}",
    "call {page_fault}",
    "add qword ptr gs:[{page_fault_ist}], {level}",
    "restore_registers_and_return",
    ".balign 16",
    "trap_exception:",
    "save_registers",
    "sub qword ptr gs:[{exception_ist}], {level}",
    "call {exception}",
    "add qword ptr gs:[{exception_ist}], {level}",
    "restore_registers_and_return",
    ".balign 16",
    "trap_fatal_or_nmi:",
    "save_registers",
    "call {fatal_or_nmi}",
    "restore_registers_and_return",
    ".popsection",
    stride = const STUB_STRIDE,
    level = const LEVEL_SIZE,
    page_fault_ist = const ist_offset(IST_PAGE_FAULT),
    exception_ist = const ist_offset(IST_EXCEPTION),
    interrupt = sym traps::on_interrupt,
    page_fault = sym traps::on_page_fault,
    exception = sym traps::on_exception,
    fatal_or_nmi = sym traps::on_fatal_or_nmi,
);

unsafe extern "C" {
    static trap_stubs: u8;
}

/// Address of the stub for a vector.
pub fn stub(vector: u8) -> u64 {
    &raw const trap_stubs as u64 + u64::from(vector) * STUB_STRIDE as u64
}
