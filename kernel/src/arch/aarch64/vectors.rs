//! The assembly that every interrupt and exception enters and leaves through.
//!
//! Threads run on SP_EL0, exceptions on SP_EL1: the CPU changes over by itself, so nothing of the
//! interrupted code's stack is touched, and a fault inside a handler finds room below it on the same
//! exception stack.

use core::arch::global_asm;
use core::mem::offset_of;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{VBAR_EL1, Writeable};

use super::traps;

/// The registers of the interrupted code.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct TrapFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    pub sp: u64,
    pub pc: u64,
    /// PSTATE, as SPSR_EL1 has it.
    pub pstate: u64,
    /// ESR_EL1: what happened.
    pub syndrome: u64,
    /// FAR_EL1: the address that it happened with, where it says.
    pub address: u64,
}

const _: () = assert!(
    size_of::<TrapFrame>() == FRAME_SIZE
        && offset_of!(TrapFrame, sp) == 248
        && offset_of!(TrapFrame, pc) == 256
        && offset_of!(TrapFrame, syndrome) == 272
);

/// Bytes of a `TrapFrame`, as the assembly lays it out.
pub const FRAME_SIZE: usize = 288;

global_asm!(
    ".pushsection .text.vectors, \"ax\", @progbits",
    // x0 to x3 are saved, and sp points to the frame: saves the others. A zero x29 ends
    // the handler's own chain of stack frames.
    ".macro save_rest",
    "stp x4, x5, [sp, 32]",
    "stp x6, x7, [sp, 48]",
    "stp x8, x9, [sp, 64]",
    "stp x10, x11, [sp, 80]",
    "stp x12, x13, [sp, 96]",
    "stp x14, x15, [sp, 112]",
    "stp x16, x17, [sp, 128]",
    "stp x18, x19, [sp, 144]",
    "stp x20, x21, [sp, 160]",
    "stp x22, x23, [sp, 176]",
    "stp x24, x25, [sp, 192]",
    "stp x26, x27, [sp, 208]",
    "stp x28, x29, [sp, 224]",
    "str x30, [sp, 240]",
    "mrs x1, elr_el1",
    "mrs x2, spsr_el1",
    "stp x1, x2, [sp, 256]",
    "mrs x1, esr_el1",
    "mrs x2, far_el1",
    "stp x1, x2, [sp, 272]",
    "mov x29, xzr",
    "mov x0, sp",
    ".endm",
    // x0 points to the frame: restores all but x0, x1 and sp.
    ".macro restore_rest",
    "msr daifset, 1",
    "ldp x1, x2, [x0, 256]",
    "msr elr_el1, x1",
    "msr spsr_el1, x2",
    "ldp x2, x3, [x0, 16]",
    "ldp x4, x5, [x0, 32]",
    "ldp x6, x7, [x0, 48]",
    "ldp x8, x9, [x0, 64]",
    "ldp x10, x11, [x0, 80]",
    "ldp x12, x13, [x0, 96]",
    "ldp x14, x15, [x0, 112]",
    "ldp x16, x17, [x0, 128]",
    "ldp x18, x19, [x0, 144]",
    "ldp x20, x21, [x0, 160]",
    "ldp x22, x23, [x0, 176]",
    "ldp x24, x25, [x0, 192]",
    "ldp x26, x27, [x0, 208]",
    "ldp x28, x29, [x0, 224]",
    "ldr x30, [x0, 240]",
    ".endm",
    // Of code on SP_EL0: threads.
    ".macro thread_vector handler",
    ".balign 128",
    "sub sp, sp, {size}",
    "stp x0, x1, [sp]",
    "stp x2, x3, [sp, 16]",
    "adrp x3, \\handler",
    "add x3, x3, :lo12:\\handler",
    "b trap_from_thread",
    ".endm",
    // Of code on SP_EL1: handlers. One that has run its stack over is to have its fault taken on the
    // spare stack, a page further down (`ExceptionStacks`). There is no register to look with but x0, which
    // the stack pointer holds meanwhile: sp = sp + x0, x0 = sp - x0.
    ".macro handler_vector handler",
    ".balign 128",
    "sub sp, sp, {size}",
    "add sp, sp, x0",
    "sub x0, sp, x0",
    "tbnz x0, 15, 1f",
    "tbz x0, 14, 1f",
    "tbz x0, 13, 1f",
    "tbz x0, 12, 1f",
    "sub x0, sp, x0",
    "sub sp, sp, x0",
    "sub sp, sp, 4096",
    "stp x0, x1, [sp]",
    "stp x2, x3, [sp, 16]",
    "adrp x3, \\handler",
    "add x3, x3, :lo12:\\handler",
    "b trap_from_overflow",
    "1: sub x0, sp, x0",
    "sub sp, sp, x0",
    "stp x0, x1, [sp]",
    "stp x2, x3, [sp, 16]",
    "adrp x3, \\handler",
    "add x3, x3, :lo12:\\handler",
    "b trap_from_handler",
    ".endm",
    ".balign 2048",
    ".global exception_vectors",
    "exception_vectors:",
    "thread_vector {synchronous}",
    "thread_vector {interrupt}",
    "thread_vector {fast_interrupt}",
    "thread_vector {system_error}",
    "handler_vector {synchronous}",
    "handler_vector {interrupt}",
    "handler_vector {fast_interrupt}",
    "handler_vector {system_error}",
    // Nothing runs at EL0.
    ".rept 8",
    "handler_vector {system_error}",
    ".endr",
    ".balign 128",
    "trap_from_thread:",
    "save_rest",
    "mrs x1, sp_el0",
    "str x1, [sp, 248]",
    "blr x3",
    "mov x0, sp",
    "ldr x1, [x0, 248]",
    "msr sp_el0, x1",
    "restore_rest",
    "ldp x0, x1, [x0]",
    "add sp, sp, {size}",
    "eret",
    "trap_from_overflow:",
    "save_rest",
    "add x1, sp, {size}",
    "add x1, x1, 4096",
    "b 1f",
    "trap_from_handler:",
    "save_rest",
    "add x1, sp, {size}",
    "1:",
    "str x1, [sp, 248]",
    "blr x3",
    // A guarded call that faulted goes on with another stack pointer. Interrupts are off, so
    // nobody needs the frame below it any more.
    "mov x0, sp",
    "restore_rest",
    "ldr x1, [x0, 248]",
    "mov sp, x1",
    "ldp x0, x1, [x0]",
    "eret",
    ".popsection",
    size = const FRAME_SIZE,
    synchronous = sym traps::on_synchronous,
    interrupt = sym traps::on_interrupt,
    fast_interrupt = sym traps::on_fast_interrupt,
    system_error = sym traps::on_system_error,
);

unsafe extern "C" {
    static exception_vectors: u8;
}

/// Sets the vectors of this CPU.
pub fn install() {
    VBAR_EL1.set(&raw const exception_vectors as u64);
    barrier::isb(barrier::SY);
}
