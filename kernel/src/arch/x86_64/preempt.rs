//! From an interrupt back into the interrupted thread, to do work as that thread.
//!
//! An interrupt handler never switches threads: it runs on an interrupt stack
//! that belongs to the CPU. When the thread has work to do (its slice is over, or a
//! signal waits for it), or when it faulted and has a handler for that, the
//! interrupt returns to a trampoline instead of to the interrupted
//! instruction. The trampoline runs on the thread's own stack, below the red
//! zone, keeps every register, and calls Rust: from there on all is as if the
//! thread had made the call itself.
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
use x86_64::instructions::interrupts;

use super::fpu;
use super::per_cpu::{self, RESUME_OFFSET, Resume};
use super::trap_stubs::TrapFrame;
use crate::memory::{self, KERNEL_STACK_SIZE, STACK_GUARD_SIZE};

/// The vector that a trampoline reports when no exception brought it there.
const NO_EXCEPTION: u64 = 256;
/// Bytes below a stack pointer that leaf functions use (System V ABI 3.2.2).
const RED_ZONE: u64 = 128;
/// RFLAGS for the trampoline: nothing but the bit that is always one.
const TRAMPOLINE_RFLAGS: u64 = 2;
const RFLAGS_INTERRUPTS: u64 = 1 << 9;

global_asm!(
    ".pushsection .text.preempt, \"ax\", @progbits",
    ".global preempt_trampolines_start, preempt_trampolines_end",
    "preempt_trampolines_start:",
    // Builds a `TrapFrame` of the interrupted code on its own stack. Interrupts
    // are off, so the CPU's `resume` is still ours.
    ".macro build_frame",
    "push 0x10",
    "push qword ptr gs:[{resume} + {rsp}]",
    "push qword ptr gs:[{resume} + {rflags}]",
    "push 0x08",
    "push qword ptr gs:[{resume} + {rip}]",
    "push qword ptr gs:[{resume} + {error}]",
    "push qword ptr gs:[{resume} + {vector}]",
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
    "mov rbx, rsp",
    // A frame for backtraces: the interrupted instruction seems to have called.
    "push qword ptr [rbx + {frame_rip}]",
    "push rbp",
    "mov rbp, rsp",
    ".endm",
    ".macro leave_frame",
    "mov rsp, rbx",
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
    ".global preempt_kernel_trampoline",
    "preempt_kernel_trampoline:",
    "build_frame",
    "and rsp, -16",
    "call {kernel_work}",
    "leave_frame",
    ".global preempt_user_trampoline",
    "preempt_user_trampoline:",
    "build_frame",
    "mov r12, gs:[{resume} + {address}]",
    "sub rsp, [{save_area_size}]",
    "and rsp, -64",
    "cmp dword ptr [{has_xsave}], 0",
    "je 2f",
    // XRSTOR wants the header's reserved bytes zero, and XSAVE does not write
    // them (Intel SDM volume 1, 13.4.2).
    "xor eax, eax",
    "mov [rsp + 512], rax",
    "mov [rsp + 520], rax",
    "mov [rsp + 528], rax",
    "mov [rsp + 536], rax",
    "mov [rsp + 544], rax",
    "mov [rsp + 552], rax",
    "mov [rsp + 560], rax",
    "mov [rsp + 568], rax",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rsp]",
    "jmp 3f",
    "2: fxsave64 [rsp]",
    "3: mov rdi, rbx",
    "mov rsi, r12",
    "mov r12, rsp",
    "call {user_work}",
    "cli",
    "cmp dword ptr [{has_xsave}], 0",
    "je 4f",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [r12]",
    "jmp 5f",
    "4: fxrstor64 [r12]",
    "5: leave_frame",
    "preempt_trampolines_end:",
    ".popsection",
    resume = const RESUME_OFFSET,
    rip = const offset_of!(Resume, rip),
    rflags = const offset_of!(Resume, rflags),
    rsp = const offset_of!(Resume, rsp),
    error = const offset_of!(Resume, error),
    vector = const offset_of!(Resume, vector),
    address = const offset_of!(Resume, address),
    frame_rip = const offset_of!(TrapFrame, rip),
    save_area_size = sym fpu::SAVE_AREA_SIZE,
    has_xsave = sym fpu::HAS_XSAVE,
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

/// Runs on C's stack, as the interrupted thread, with interrupts off; what it
/// changes in `frame` are the registers that C code continues with.
extern "C" fn user_work(frame: &mut TrapFrame, address: usize) {
    // The interrupted code may have been in the middle of x87 work or have
    // changed the rounding; a signal handler starts from the ABI's state.
    fpu::reset();
    memory::user::touch_stack();
    if frame.vector != NO_EXCEPTION {
        interrupts::enable();
        super::signal::deliver_exception(frame, address);
        return;
    }
    if smp::should_preempt() {
        smp::preempt();
    }
    // Cleared before interrupts come back: the next one must not begin this again, below here.
    if smp::current().clear_notify(NOTIFY_SIGNAL) != 0 {
        interrupts::enable();
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

/// Tells which stack of the running thread `rsp` is on.
pub fn stack_kind(rsp: u64) -> StackKind {
    let thread = per_cpu::current();
    // SAFETY: the running thread is alive; its first word is the end of its
    // kernel stack.
    let top = unsafe { thread.cast::<u64>().read() };
    // The guard page counts: who overflows has the stack pointer there.
    if (top - (STACK_GUARD_SIZE + KERNEL_STACK_SIZE) as u64..=top).contains(&rsp) {
        StackKind::Kernel
    } else {
        StackKind::User
    }
}

/// Whether an address lies in the trampolines: a fault there is a fault of the
/// stack they build their frame on.
pub fn is_trampoline(rip: u64) -> bool {
    (&raw const preempt_trampolines_start as u64..&raw const preempt_trampolines_end as u64)
        .contains(&rip)
}

/// At the end of an interrupt: sends the thread to a trampoline if it has
/// something to do.
pub fn at_interrupt_exit(frame: &mut TrapFrame) {
    let thread = per_cpu::current();
    if thread.is_null() || frame.rflags & RFLAGS_INTERRUPTS == 0 {
        return;
    }
    // SAFETY: the running thread is alive, and only it and this CPU change its
    // preemption count.
    let thread: &Thread = unsafe { &*thread };
    if thread.preempt_count() != 0 {
        return;
    }
    match stack_kind(frame.rsp) {
        StackKind::Kernel if smp::should_preempt() => {
            redirect(
                frame,
                preempt_kernel_trampoline as *const () as u64,
                frame.rsp,
                0,
            );
        }
        StackKind::User if smp::should_preempt() || thread.notify() != 0 => {
            frame.vector = NO_EXCEPTION;
            redirect(
                frame,
                preempt_user_trampoline as *const () as u64,
                frame.rsp,
                0,
            );
        }
        _ => {}
    }
}

/// Sends the thread to its signal handler for the exception in `frame`, on the
/// stack whose pointer is `stack`.
pub fn to_signal_handler(frame: &mut TrapFrame, stack: u64, address: u64) {
    redirect(
        frame,
        preempt_user_trampoline as *const () as u64,
        stack,
        address,
    );
}

fn redirect(frame: &mut TrapFrame, target: u64, stack: u64, address: u64) {
    let resume = Resume {
        rip: frame.rip,
        rflags: frame.rflags,
        rsp: frame.rsp,
        vector: frame.vector,
        error: frame.error,
        address,
    };
    // SAFETY: interrupts are off until the trampoline has read it, and only this
    // CPU touches its own.
    unsafe { *per_cpu::this_cpu().resume.get() = resume };
    frame.rip = target;
    frame.rflags = TRAMPOLINE_RFLAGS;
    frame.rsp = (stack - RED_ZONE) & !63;
}
