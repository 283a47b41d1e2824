//! The three functions, and the way back from a signal handler, on x86_64 Linux.

use core::{arch::naked_asm, ffi::c_void};

/// Runs a Linux system call: C's argument registers become the kernel's.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn kernel_syscall(
    n: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    naked_asm!(
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        "syscall",
        "ret",
    )
}

/// `CLONE_VM | _FS | _FILES | _SIGHAND | _THREAD | _SYSVSEM | _SETTLS | _PARENT_SETTID |
/// _CHILD_CLEARTID` of `clone(2)`.
const THREAD: u32 = 0x3d_0f00;

/// Starts a thread; see `kernel/src/libc/thread.rs`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn kernel_thread_start(
    entry: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
    stack_top: *mut c_void,
    tls: *mut c_void,
    ctid: *mut i32,
    ptid: *mut i32,
) -> isize {
    naked_asm!(
        // The new thread finds on its stack what to call, and with what.
        "mov [rdx - 16], rdi",
        "mov [rdx - 8], rsi",
        "lea rsi, [rdx - 16]",
        "mov r10, r8",
        "mov r8, rcx",
        "mov rdx, r9",
        "mov edi, {flags}",
        "mov eax, 56", // clone
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:",
        // No frame below this one, for whoever walks the stack.
        "xor ebp, ebp",
        "pop rax",
        "pop rdi",
        "call rax",
        "ud2",
        flags = const THREAD,
    )
}

/// Unmaps the caller's stack and ends the thread, without a stack.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn kernel_unmap_and_exit(base: *mut c_void, len: usize) -> ! {
    naked_asm!(
        "mov eax, 11", // munmap
        "syscall",
        "xor edi, edi",
        "mov eax, 60", // exit
        "syscall",
        "ud2",
    )
}

/// Where Linux returns to from a signal handler, as musl tells it.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn __restore_rt() {
    naked_asm!("mov eax, 15", "syscall") // rt_sigreturn
}

/// The same, for handlers without SA_SIGINFO.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn __restore() {
    naked_asm!("mov eax, 15", "syscall") // rt_sigreturn
}
