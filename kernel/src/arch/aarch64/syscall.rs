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
    ".type kernel_syscall, %function",
    // kernel_syscall(n, a, b, c, d, e, f): seven arguments in x0 to x6. All are
    // kept on C's stack: a call that a signal broke off may be made again.
    "kernel_syscall:",
    "stp x29, x30, [sp, -80]!",
    "mov x29, sp",
    "stp x0, x1, [sp, 16]",
    "stp x2, x3, [sp, 32]",
    "stp x4, x5, [sp, 48]",
    "str x6, [sp, 64]",
    "2: adrp x9, {target}",
    "ldr x9, [x9, :lo12:{target}]",
    "mrs x10, tpidr_el1",
    "ldr x10, [x10, {kernel_stack_top}]",
    // On the kernel stack before anything is written there: a signal handler
    // that came in between would have used it too.
    "sub x10, x10, 16",
    "mov sp, x10",
    "str x29, [sp, 8]",
    "blr x9",
    "mov sp, x29",
    "cmn x0, {restart}",
    "b.eq 4f",
    "mrs x9, tpidr_el1",
    "ldr w9, [x9, {notify}]",
    "cbnz w9, 3f",
    "ldp x29, x30, [sp], 80",
    "ret",
    // Something arrived for this thread: let it run its signal handlers here,
    // on its own stack, after the call and before its caller sees the result.
    "3: str x0, [sp, 72]",
    "bl {thread_notify}",
    "ldr x0, [sp, 72]",
    "ldp x29, x30, [sp], 80",
    "ret",
    "4: bl {thread_notify}",
    "ldp x0, x1, [sp, 16]",
    "ldp x2, x3, [sp, 32]",
    "ldp x4, x5, [sp, 48]",
    "ldr x6, [sp, 64]",
    "b 2b",
    ".size kernel_syscall, . - kernel_syscall",
    ".popsection",
    kernel_stack_top = const Thread::KERNEL_STACK_TOP_OFFSET,
    notify = const Thread::NOTIFY_OFFSET,
    // CMN compares with the negative.
    restart = const -RESTART_CALL,
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
    // SAFETY: the running thread is alive, and the field is the end of its
    // kernel stack, where `kernel_syscall` keeps the stack pointer.
    unsafe {
        let thread = super::per_cpu::current().cast::<u8>();
        let top = thread
            .add(Thread::KERNEL_STACK_TOP_OFFSET)
            .cast::<usize>()
            .read();
        ((top - 8) as *const usize).read()
    }
}
