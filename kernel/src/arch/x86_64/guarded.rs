//! Calling something that may fault, in a fault report: reading a stack that may
//! be broken, running Python's traceback code on data that may be broken.

use core::arch::global_asm;

use super::per_cpu::{self, GUARD_RIP_OFFSET, GUARD_RSP_OFFSET};
use super::trap_stubs::TrapFrame;

global_asm!(
    ".pushsection .text.guarded, \"ax\", @progbits",
    // guarded_call(function: rdi, argument: rsi) -> 0, or 1 if it was ended early
    ".global guarded_call, guarded_abort",
    "guarded_call:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push qword ptr gs:[{rsp}]",
    "push qword ptr gs:[{rip}]",
    "sub rsp, 8",
    "mov gs:[{rsp}], rsp",
    "lea rax, [rip + 2f]",
    "mov gs:[{rip}], rax",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "xor eax, eax",
    "jmp 3f",
    "2: mov eax, 1",
    "3: add rsp, 8",
    "pop qword ptr gs:[{rip}]",
    "pop qword ptr gs:[{rsp}]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    // guarded_abort(): ends the innermost guarded call
    "guarded_abort:",
    "mov rsp, gs:[{rsp}]",
    "jmp gs:[{rip}]",
    ".popsection",
    rsp = const GUARD_RSP_OFFSET,
    rip = const GUARD_RIP_OFFSET,
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
        if (*per_cpu::this_cpu().guard.get()).rsp != 0 {
            guarded_abort();
        }
    }
}

/// Ends the guarded call that faulted at `frame`; returns false if there was none.
pub fn recover(frame: &mut TrapFrame) -> bool {
    // SAFETY: only this CPU writes its guard, and interrupts are off.
    let guard = unsafe { &*per_cpu::this_cpu().guard.get() };
    if guard.rsp == 0 {
        return false;
    }
    frame.rsp = guard.rsp;
    frame.rip = guard.rip;
    true
}
