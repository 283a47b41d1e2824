//! Changing stacks: the context switch, a thread's first steps, entering C code
//! on its own stack, and calling a function on another stack.

use core::arch::global_asm;

use smp::Thread;

use super::fpu::{DEFAULT_MXCSR, DEFAULT_X87_CONTROL};
use super::per_cpu;

global_asm!(
    ".pushsection .text.context, \"ax\", @progbits",
    // context_switch(from: rdi, to: rsi)
    // A function call, so the System V ABI says what survives: rbx, rbp, rsp,
    // r12 to r15, the control bits of MXCSR, and the x87 control word.
    ".global context_switch",
    ".type context_switch, @function",
    "context_switch:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "stmxcsr [rsp]",
    "fnstcw [rsp + 4]",
    "mov [rdi + {kernel_sp}], rsp",
    "mov rsp, [rsi + {kernel_sp}]",
    "ldmxcsr [rsp]",
    "fldcw [rsp + 4]",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".size context_switch, . - context_switch",
    // Where the first switch to a thread returns to; see `init_stack`.
    ".global thread_first_entry",
    "thread_first_entry:",
    "xor ebp, ebp",
    "mov rdi, r13",
    "call r12",
    "ud2",
    // enter_c(entry: rdi, arg: rsi, stack_top: rdx)
    ".global enter_c",
    "enter_c:",
    "mov rsp, rdx",
    "and rsp, -16",
    "xor ebp, ebp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "ud2",
    // call_on_stack(function: rdi, arguments: rsi -> [usize; 3], stack_top: rdx)
    ".global call_on_stack_asm",
    "call_on_stack_asm:",
    "push rbp",
    "mov rbp, rsp",
    "mov rsp, rdx",
    "and rsp, -16",
    "mov rax, rdi",
    "mov rdi, [rsi]",
    "mov rdx, [rsi + 16]",
    "mov rsi, [rsi + 8]",
    "call rax",
    "mov rsp, rbp",
    "pop rbp",
    "ret",
    ".popsection",
    kernel_sp = const Thread::KERNEL_SP_OFFSET,
);

unsafe extern "C" {
    fn context_switch(from: *const (), to: *const ());
    fn thread_first_entry();
    fn enter_c(entry: extern "C" fn(usize) -> !, arg: usize, stack_top: usize) -> !;
    fn call_on_stack_asm(
        function: unsafe extern "C" fn(usize, usize, usize),
        arguments: *const [usize; 3],
        stack_top: usize,
    );
}

/// Saves the context of `from`, continues that of `to`.
///
/// # Safety
///
/// As for `smp::Platform::switch`.
pub unsafe fn switch(from: *const Thread, to: *const Thread) {
    // SAFETY: `to` is alive, and the field is an aligned word.
    let thread_pointer = unsafe {
        to.cast::<u8>()
            .add(Thread::THREAD_POINTER_OFFSET)
            .cast::<usize>()
            .read_volatile()
    };
    super::cpu::write_thread_pointer(thread_pointer);
    // SAFETY: the caller's contract.
    unsafe { context_switch(from.cast(), to.cast()) };
}

/// Lays out a new kernel stack for `switch`; returns its stack pointer.
///
/// # Safety
///
/// As for `smp::Platform::init_stack`.
pub unsafe fn init_stack(kstack_top: usize, entry: extern "C" fn(usize) -> !, arg: usize) -> usize {
    let control = u64::from(DEFAULT_MXCSR) | u64::from(DEFAULT_X87_CONTROL) << 32;
    // In the order in which `context_switch` takes them.
    let frame: [u64; 8] = [
        control,
        0,                                      // r15
        0,                                      // r14
        arg as u64,                             // r13
        entry as usize as u64,                  // r12
        0,                                      // rbx
        0,                                      // rbp
        thread_first_entry as *const () as u64, // return address
    ];
    // After the return the stack pointer is 16-byte aligned, as it must be
    // before a call.
    let sp = (kstack_top & !15) - size_of_val(&frame);
    // SAFETY: the caller gives us the memory below `kstack_top`.
    unsafe { (sp as *mut [u64; 8]).write(frame) };
    sp
}

/// Returns where a thread that no CPU runs goes on, and its frame pointer.
///
/// # Safety
///
/// The thread does not run, nor begins to, until this returns.
pub unsafe fn suspended_position(thread: &Thread) -> (usize, usize) {
    // SAFETY: what `context_switch` or `init_stack` has left there, in its order.
    let frame = unsafe { &*(thread.kernel_sp() as *const [usize; 8]) };
    (frame[7], frame[6])
}

/// Leaves this stack for good and calls `entry(arg)` at the top of another: how
/// C code starts on its own stack.
///
/// # Safety
///
/// Below `stack_top` lies a stack for C code that nobody else uses; nothing on
/// the current stack is needed any more. The thread pointer is set.
pub unsafe fn enter_user(entry: extern "C" fn(usize) -> !, arg: usize, stack_top: usize) -> ! {
    // SAFETY: the caller's contract.
    unsafe { enter_c(entry, arg, stack_top) }
}

/// Calls `function` on the stack that ends at `stack_top`, and comes back: how a
/// signal handler runs on its alternate stack (sigaltstack in POSIX.1-2024).
///
/// # Safety
///
/// The stack is writable, unused, and large enough; `function` may be called
/// with these arguments.
pub unsafe fn call_on_stack(
    function: unsafe extern "C" fn(usize, usize, usize),
    arguments: [usize; 3],
    stack_top: usize,
) {
    // SAFETY: the caller's contract; the assembly keeps what a call must keep.
    unsafe { call_on_stack_asm(function, &arguments, stack_top) };
}

/// Calls `function` on this CPU's stack for device interrupts, as a handler would be; its arguments are zero.
///
/// # Safety
///
/// Interrupts are off, the caller is a thread, and `function` may be called so.
pub unsafe fn call_on_interrupt_stack(function: unsafe extern "C" fn(usize, usize, usize)) {
    // SAFETY: with interrupts off nobody is on the stack; the rest is the caller's contract.
    unsafe { call_on_stack(function, [0; 3], per_cpu::interrupt_stack_top()) };
}
