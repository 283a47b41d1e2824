//! From an interrupt back into the interrupted thread, to do work as that thread.
//!
//! An interrupt handler never switches threads: it runs on an exception stack
//! that belongs to the CPU. When the thread has work to do (its slice is over, or a
//! signal waits for it), or when it faulted and has a handler for that, the
//! interrupt returns to a trampoline instead of to the interrupted
//! instruction. The trampoline runs on the thread's own stack, keeps every
//! register, and calls Rust: from there on all is as if the thread had made the
//! call itself.
//!
//! Interrupts stay off while another thread runs instead, until the trampoline
//! has left the stack. If they came back earlier, one that waits would lead to
//! the next trampoline right below this one, and a thread that is preempted
//! faster than it gets on would fill its stack with them.
//!
//! Code on a kernel stack has no floating-point state of its own (kernel code
//! is built without), so only C code's is kept.

use core::arch::global_asm;
use core::mem::offset_of;

use smp::{NOTIFY_SIGNAL, Thread};

use super::cpu;
use super::per_cpu::{self, RESUME_OFFSET, Resume};
use super::traps::PSTATE_I;
use super::vectors::{FRAME_SIZE, TrapFrame};
use crate::memory::{self, KERNEL_STACK_SIZE, STACK_GUARD_SIZE};

/// PSTATE for the trampoline: EL1 on SP_EL0; debug, interrupts and fast interrupts off.
const TRAMPOLINE_PSTATE: u64 = 0x2c4;
/// The mode in PSTATE: EL1 on SP_EL0, which threads are in.
const MODE_MASK: u64 = 0xf;
const MODE_THREAD: u64 = 0x4;
/// q0 to q31, FPCR and FPSR.
const FLOATING_POINT_SIZE: usize = 32 * 16 + 16;

global_asm!(
    ".pushsection .text.preempt, \"ax\", @progbits",
    ".arch_extension fp",
    ".global preempt_trampolines_start, preempt_trampolines_end",
    "preempt_trampolines_start:",
    // Builds a `TrapFrame` of the interrupted code on its own stack, at x19. Interrupts
    // are off, so the CPU's `resume` is still ours.
    ".macro build_frame",
    "sub sp, sp, {frame}",
    "stp x0, x1, [sp]",
    "stp x2, x3, [sp, 16]",
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
    "mrs x9, tpidrro_el0",
    "add x9, x9, {resume}",
    "ldr x0, [x9, {r_sp}]",
    "stp x30, x0, [sp, 240]",
    "ldr x1, [x9, {r_pc}]",
    "ldr x2, [x9, {r_pstate}]",
    "stp x1, x2, [sp, 256]",
    "ldr x3, [x9, {r_syndrome}]",
    "ldr x20, [x9, {r_address}]",
    "ldr x21, [x9, {r_signal}]",
    "stp x3, x20, [sp, 272]",
    "mov x19, sp",
    // A frame for backtraces: the interrupted instruction seems to have called.
    "stp x29, x1, [sp, -16]!",
    "mov x29, sp",
    ".endm",
    // Goes back to what the frame at x19 holds. What lies below the stack pointer that it sets is not
    // written any more: interrupts are off, and other exceptions have a stack of their own.
    ".macro leave_frame",
    "mov x0, x19",
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
    "ldp x30, x1, [x0, 240]",
    "mov sp, x1",
    "ldp x0, x1, [x0]",
    "eret",
    ".endm",
    ".global preempt_kernel_trampoline",
    "preempt_kernel_trampoline:",
    "build_frame",
    "msr daifclr, 1",
    "bl {kernel_work}",
    "msr daifset, 3",
    "leave_frame",
    ".global preempt_user_trampoline",
    "preempt_user_trampoline:",
    "build_frame",
    "sub sp, sp, {floating_point}",
    "stp q0, q1, [sp]",
    "stp q2, q3, [sp, 32]",
    "stp q4, q5, [sp, 64]",
    "stp q6, q7, [sp, 96]",
    "stp q8, q9, [sp, 128]",
    "stp q10, q11, [sp, 160]",
    "stp q12, q13, [sp, 192]",
    "stp q14, q15, [sp, 224]",
    "stp q16, q17, [sp, 256]",
    "stp q18, q19, [sp, 288]",
    "stp q20, q21, [sp, 320]",
    "stp q22, q23, [sp, 352]",
    "stp q24, q25, [sp, 384]",
    "stp q26, q27, [sp, 416]",
    "stp q28, q29, [sp, 448]",
    "stp q30, q31, [sp, 480]",
    "mrs x0, fpcr",
    "mrs x1, fpsr",
    "add x2, sp, 512",
    "stp x0, x1, [x2]",
    // The interrupted code may have changed the rounding; a signal handler starts from the ABI's state.
    "msr fpcr, xzr",
    "msr daifclr, 1",
    "mov x0, x19",
    "mov x1, x20",
    "mov x2, x21",
    "bl {user_work}",
    "msr daifset, 3",
    "add x2, sp, 512",
    "ldp x0, x1, [x2]",
    "msr fpcr, x0",
    "msr fpsr, x1",
    "ldp q0, q1, [sp]",
    "ldp q2, q3, [sp, 32]",
    "ldp q4, q5, [sp, 64]",
    "ldp q6, q7, [sp, 96]",
    "ldp q8, q9, [sp, 128]",
    "ldp q10, q11, [sp, 160]",
    "ldp q12, q13, [sp, 192]",
    "ldp q14, q15, [sp, 224]",
    "ldp q16, q17, [sp, 256]",
    "ldp q18, q19, [sp, 288]",
    "ldp q20, q21, [sp, 320]",
    "ldp q22, q23, [sp, 352]",
    "ldp q24, q25, [sp, 384]",
    "ldp q26, q27, [sp, 416]",
    "ldp q28, q29, [sp, 448]",
    "ldp q30, q31, [sp, 480]",
    "leave_frame",
    "preempt_trampolines_end:",
    ".popsection",
    frame = const FRAME_SIZE,
    floating_point = const FLOATING_POINT_SIZE,
    resume = const RESUME_OFFSET,
    r_sp = const offset_of!(Resume, sp),
    r_pc = const offset_of!(Resume, pc),
    r_pstate = const offset_of!(Resume, pstate),
    r_syndrome = const offset_of!(Resume, syndrome),
    r_address = const offset_of!(Resume, address),
    r_signal = const offset_of!(Resume, signal),
    kernel_work = sym kernel_work,
    user_work = sym user_work,
);

unsafe extern "C" {
    static preempt_trampolines_start: u8;
    static preempt_trampolines_end: u8;
    fn preempt_kernel_trampoline();
    fn preempt_user_trampoline();
}

/// Runs on a kernel stack, as the interrupted thread, with interrupts off.
extern "C" fn kernel_work() {
    smp::preempt();
}

/// Runs on C's stack, as the interrupted thread, with interrupts off; what it changes in `frame`
/// are the registers that C code continues with.
extern "C" fn user_work(frame: &mut TrapFrame, address: usize, signal: u64) {
    memory::user::touch_stack();
    if signal != 0 {
        cpu::enable_interrupts();
        super::signal::deliver_exception(frame, address, signal);
        return;
    }
    if smp::should_preempt() {
        smp::preempt();
    }
    // Cleared before interrupts come back: the next one must not begin this again, below here.
    if smp::current().clear_notify(NOTIFY_SIGNAL) != 0 {
        cpu::enable_interrupts();
        super::signal::deliver_pending();
    }
}

/// Where a stack pointer points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackKind {
    /// The running thread's kernel stack.
    Kernel,
    /// Anywhere else: C's stack.
    User,
}

/// Tells which stack of the running thread `sp` is on.
pub fn stack_kind(sp: u64) -> StackKind {
    let thread = per_cpu::current();
    // SAFETY: the running thread is alive; the field is the end of its kernel stack.
    let top = unsafe {
        thread
            .cast::<u8>()
            .add(Thread::KERNEL_STACK_TOP_OFFSET)
            .cast::<u64>()
            .read()
    };
    // The guard page counts: who overflows has the stack pointer there.
    if (top - (STACK_GUARD_SIZE + KERNEL_STACK_SIZE) as u64..=top).contains(&sp) {
        StackKind::Kernel
    } else {
        StackKind::User
    }
}

/// Tells whether the frame is that of a thread, and not of an exception handler.
pub fn is_thread(frame: &TrapFrame) -> bool {
    frame.pstate & MODE_MASK == MODE_THREAD
}

/// Whether an address lies in the trampolines: a fault there is a fault of the
/// stack they build their frame on.
pub fn is_trampoline(pc: u64) -> bool {
    (&raw const preempt_trampolines_start as u64..&raw const preempt_trampolines_end as u64)
        .contains(&pc)
}

/// At the end of an interrupt: sends the thread to a trampoline if it has
/// something to do.
pub fn at_interrupt_exit(frame: &mut TrapFrame) {
    let thread = per_cpu::current();
    if thread.is_null() || !is_thread(frame) || frame.pstate & PSTATE_I != 0 {
        return;
    }
    // SAFETY: the running thread is alive, and only it and this CPU change its
    // preemption count.
    let thread: &Thread = unsafe { &*thread };
    if thread.preempt_count() != 0 {
        return;
    }
    let kernel = preempt_kernel_trampoline as *const () as u64;
    let user = preempt_user_trampoline as *const () as u64;
    match stack_kind(frame.sp) {
        StackKind::Kernel if smp::should_preempt() => redirect(frame, kernel, frame.sp, 0, 0),
        StackKind::User if smp::should_preempt() || thread.notify() != 0 => {
            redirect(frame, user, frame.sp, 0, 0);
        }
        _ => {}
    }
}

/// Sends the thread to its handler for `signal` (packed, not 0), on the stack whose pointer is `stack`.
pub fn to_signal_handler(frame: &mut TrapFrame, stack: u64, address: u64, signal: u64) {
    let user = preempt_user_trampoline as *const () as u64;
    redirect(frame, user, stack, address, signal);
}

fn redirect(frame: &mut TrapFrame, target: u64, stack: u64, address: u64, signal: u64) {
    let resume = Resume {
        sp: frame.sp,
        pc: frame.pc,
        pstate: frame.pstate,
        syndrome: frame.syndrome,
        address,
        signal,
    };
    // SAFETY: interrupts are off until the trampoline has read it, and only this
    // CPU touches its own.
    unsafe { *per_cpu::this_cpu().resume.get() = resume };
    frame.pc = target;
    frame.pstate = TRAMPOLINE_PSTATE;
    // AAPCS64 has no red zone: what lies below the stack pointer is nobody's.
    frame.sp = stack & !15;
}
