//! `kernel_syscall`: where C code calls the kernel.
//!
//! musl's system calls are calls of this function (cpython/, "the overlay").
//! It moves to the running thread's kernel stack, because C's stack may be
//! short and is lazily committed, and interrupts never use either: they have
//! their own.

use core::arch::global_asm;
use core::sync::atomic::AtomicUsize;

use smp::Thread;

unsafe extern "C" {
    /// The table of calls (`libc::dispatch`).
    fn syscall_entry(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize)
    -> isize;
    /// Delivers what waits for the running thread (`libc::signal`).
    pub(super) fn thread_notify();
}

/// Result that asks for the same call again once signal handlers have run.
pub const RESTART_CALL: isize = crate::libc::dispatch::RESTART_CALL;

/// What `kernel_syscall` calls; a fault report puts its own function here, so
/// that the C code it uses for Python's traceback enters nothing that may be
/// broken or locked.
pub static SYSCALL_TARGET: AtomicUsize = AtomicUsize::new(0);

global_asm!(
    ".pushsection .text.kernel_syscall, \"ax\", @progbits",
    ".global kernel_syscall",
    ".type kernel_syscall, @function",
    // kernel_syscall(n, a, b, c, d, e, f): six arguments in rdi, rsi, rdx, rcx,
    // r8 and r9, the seventh on the stack above the return address. All are
    // kept on C's stack: a call that a signal broke off may be made again.
    "kernel_syscall:",
    "push rbp",
    "mov rbp, rsp",
    "push r9",
    "push r8",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "2: mov rax, gs:[0]",
    "mov r11, [rbp + 16]",
    "mov r10, [rax + {kernel_stack_top}]",
    "mov rax, rsp",
    // On the kernel stack before anything is written there: a signal handler
    // that came in between would have used it too.
    "lea rsp, [r10 - 16]",
    "mov [rsp + 8], rax",
    "mov [rsp], r11",
    "call [{target}]",
    "lea rsp, [rbp - 48]",
    "cmp rax, {restart}",
    "je 4f",
    "mov rcx, gs:[0]",
    "cmp dword ptr [rcx + {notify}], 0",
    "jne 3f",
    "leave",
    "ret",
    // Something arrived for this thread: let it run its signal handlers here,
    // on its own stack, after the call and before its caller sees the result.
    "3: push rax",
    "sub rsp, 8",
    "call {thread_notify}",
    "mov rax, [rsp + 8]",
    "leave",
    "ret",
    "4: call {thread_notify}",
    "mov rdi, [rbp - 48]",
    "mov rsi, [rbp - 40]",
    "mov rdx, [rbp - 32]",
    "mov rcx, [rbp - 24]",
    "mov r8, [rbp - 16]",
    "mov r9, [rbp - 8]",
    "jmp 2b",
    ".size kernel_syscall, . - kernel_syscall",
    ".popsection",
    kernel_stack_top = const Thread::KERNEL_STACK_TOP_OFFSET,
    notify = const Thread::NOTIFY_OFFSET,
    restart = const RESTART_CALL,
    target = sym SYSCALL_TARGET,
    thread_notify = sym thread_notify,
);

/// Sets `kernel_syscall` up.
pub fn init() {
    SYSCALL_TARGET.store(
        syscall_entry as *const () as usize,
        core::sync::atomic::Ordering::Relaxed,
    );
}

/// Returns the stack pointer of the C code that called into the kernel; the
/// caller runs on the running thread's kernel stack, in `syscall_entry`.
pub fn user_stack_pointer() -> usize {
    // SAFETY: the running thread is alive, and its first word is the end of its
    // kernel stack, where `kernel_syscall` keeps the stack pointer.
    unsafe {
        let top = super::per_cpu::current().cast::<usize>().read();
        ((top - 8) as *const usize).read()
    }
}
