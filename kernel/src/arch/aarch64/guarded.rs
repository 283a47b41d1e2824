//! Calling something that may fault, in a fault report: reading a stack that may
//! be broken, running Python's traceback code on data that may be broken.

use core::arch::global_asm;

use super::per_cpu::{self, GUARD_PC_OFFSET, GUARD_SP_OFFSET};
use super::vectors::TrapFrame;

global_asm!(
    ".pushsection .text.guarded, \"ax\", @progbits",
    // guarded_call(function: x0, argument: x1) -> 0, or 1 if it was ended early
    ".global guarded_call, guarded_abort",
    "guarded_call:",
    "stp x29, x30, [sp, -112]!",
    "mov x29, sp",
    "stp x19, x20, [sp, 16]",
    "stp x21, x22, [sp, 32]",
    "stp x23, x24, [sp, 48]",
    "stp x25, x26, [sp, 64]",
    "stp x27, x28, [sp, 80]",
    "mrs x9, tpidrro_el0",
    "ldr x10, [x9, {sp}]",
    "ldr x11, [x9, {pc}]",
    "stp x10, x11, [sp, 96]",
    "mov x10, sp",
    "str x10, [x9, {sp}]",
    "adr x10, 2f",
    "str x10, [x9, {pc}]",
    "mov x9, x0",
    "mov x0, x1",
    "blr x9",
    "mov x0, 0",
    "b 3f",
    "2: mov x0, 1",
    "3: mrs x9, tpidrro_el0",
    "ldp x10, x11, [sp, 96]",
    "str x10, [x9, {sp}]",
    "str x11, [x9, {pc}]",
    "ldp x27, x28, [sp, 80]",
    "ldp x25, x26, [sp, 64]",
    "ldp x23, x24, [sp, 48]",
    "ldp x21, x22, [sp, 32]",
    "ldp x19, x20, [sp, 16]",
    "ldp x29, x30, [sp], 112",
    "ret",
    // guarded_abort(): ends the innermost guarded call
    "guarded_abort:",
    "mrs x9, tpidrro_el0",
    "ldr x10, [x9, {sp}]",
    "mov sp, x10",
    "ldr x10, [x9, {pc}]",
    "br x10",
    ".popsection",
    sp = const GUARD_SP_OFFSET,
    pc = const GUARD_PC_OFFSET,
);

unsafe extern "C" {
    fn guarded_call(function: extern "C" fn(usize), argument: usize) -> u32;
    fn guarded_abort() -> !;
}

/// Calls `function(argument)`; returns false if it faulted or called `abort`.
///
/// # Safety
///
/// The caller stays on its CPU (interrupts are off), and whatever `function` leaves
/// half done when it is cut short harms nobody.
pub unsafe fn call(function: extern "C" fn(usize), argument: usize) -> bool {
    // SAFETY: the caller's contract.
    unsafe { guarded_call(function, argument) == 0 }
}

/// Ends the innermost guarded call of this CPU, if there is one.
pub fn abort_if_guarded() {
    // SAFETY: only this CPU writes its guard; a set one is that of a
    // `guarded_call` below us on the stack.
    unsafe {
        if (*per_cpu::this_cpu().guard.get()).sp != 0 {
            guarded_abort();
        }
    }
}

/// Ends the guarded call that faulted at `frame`; returns false if there was none.
pub fn recover(frame: &mut TrapFrame) -> bool {
    // SAFETY: only this CPU writes its guard, and interrupts are off.
    let guard = unsafe { &*per_cpu::this_cpu().guard.get() };
    if guard.sp == 0 {
        return false;
    }
    frame.sp = guard.sp;
    frame.pc = guard.pc;
    true
}
