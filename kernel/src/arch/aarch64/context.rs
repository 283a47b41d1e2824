//! Changing stacks: the context switch, a thread's first steps, entering C code
//! on its own stack, and calling a function on another stack.

use core::arch::global_asm;

use smp::Thread;

/// Bytes that `context_switch` keeps on the stack.
const CONTEXT_SIZE: usize = 176;

global_asm!(
    ".pushsection .text.context, \"ax\", @progbits",
    ".arch_extension fp",
    // context_switch(from: x0, to: x1)
    // A function call, so AAPCS64 says what survives: x19 to x29, sp, d8 to d15, and the control bits
    // of FPCR; x30 is where to return to.
    ".global context_switch",
    ".type context_switch, %function",
    "context_switch:",
    "sub sp, sp, {size}",
    "stp x19, x20, [sp]",
    "stp x21, x22, [sp, 16]",
    "stp x23, x24, [sp, 32]",
    "stp x25, x26, [sp, 48]",
    "stp x27, x28, [sp, 64]",
    "stp x29, x30, [sp, 80]",
    "stp d8, d9, [sp, 96]",
    "stp d10, d11, [sp, 112]",
    "stp d12, d13, [sp, 128]",
    "stp d14, d15, [sp, 144]",
    "mrs x9, fpcr",
    "str x9, [sp, 160]",
    "mov x9, sp",
    "str x9, [x0, {kernel_sp}]",
    "ldr x9, [x1, {kernel_sp}]",
    "mov sp, x9",
    "ldr x9, [sp, 160]",
    "msr fpcr, x9",
    "ldp d14, d15, [sp, 144]",
    "ldp d12, d13, [sp, 128]",
    "ldp d10, d11, [sp, 112]",
    "ldp d8, d9, [sp, 96]",
    "ldp x29, x30, [sp, 80]",
    "ldp x27, x28, [sp, 64]",
    "ldp x25, x26, [sp, 48]",
    "ldp x23, x24, [sp, 32]",
    "ldp x21, x22, [sp, 16]",
    "ldp x19, x20, [sp]",
    "add sp, sp, {size}",
    "ret",
    ".size context_switch, . - context_switch",
    // Where the first switch to a thread returns to; see `init_stack`.
    ".global thread_first_entry",
    "thread_first_entry:",
    "mov x29, xzr",
    "mov x0, x20",
    "blr x19",
    "brk 1",
    // enter_c(entry: x0, arg: x1, stack_top: x2)
    ".global enter_c",
    "enter_c:",
    "and x2, x2, -16",
    "mov sp, x2",
    "mov x29, xzr",
    "mov x9, x0",
    "mov x0, x1",
    "blr x9",
    "brk 1",
    // call_on_stack(function: x0, arguments: x1 -> [usize; 3], stack_top: x2)
    ".global call_on_stack_asm",
    "call_on_stack_asm:",
    "stp x29, x30, [sp, -16]!",
    "mov x29, sp",
    "and x2, x2, -16",
    "mov sp, x2",
    "mov x9, x0",
    "mov x10, x1",
    "ldp x0, x1, [x10]",
    "ldr x2, [x10, 16]",
    "blr x9",
    "mov sp, x29",
    "ldp x29, x30, [sp], 16",
    "ret",
    // call_on_interrupt_stack_asm(function: x0), from SP_EL0
    ".global call_on_interrupt_stack_asm",
    "call_on_interrupt_stack_asm:",
    "stp x29, x30, [sp, -16]!",
    "mov x29, sp",
    "mov x9, x0",
    "mov x0, xzr",
    "mov x1, xzr",
    "mov x2, xzr",
    "msr spsel, 1",
    "blr x9",
    "msr spsel, 0",
    "ldp x29, x30, [sp], 16",
    "ret",
    ".popsection",
    size = const CONTEXT_SIZE,
    kernel_sp = const Thread::KERNEL_SP_OFFSET,
);

unsafe extern "C" {
    fn context_switch(from: *const (), to: *const ());
    fn thread_first_entry();
    fn enter_c(entry: extern "C" fn(usize) -> !, arg: usize, stack_top: usize) -> !;
    fn call_on_interrupt_stack_asm(function: unsafe extern "C" fn(usize, usize, usize));
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
    // C sets its thread pointer without telling us, so it is read when a thread gives the CPU away.
    // SAFETY: both threads are alive.
    unsafe {
        (*from).set_thread_pointer(super::cpu::read_thread_pointer());
        super::cpu::write_thread_pointer((*to).thread_pointer());
    }
    // SAFETY: the caller's contract.
    unsafe { context_switch(from.cast(), to.cast()) };
}

/// Lays out a new kernel stack for `switch`; returns its stack pointer.
///
/// # Safety
///
/// As for `smp::Platform::init_stack`.
pub unsafe fn init_stack(kstack_top: usize, entry: extern "C" fn(usize) -> !, arg: usize) -> usize {
    // In the order in which `context_switch` takes them; FPCR 0 is the ABI's initial state.
    let mut frame = [0u64; CONTEXT_SIZE / 8];
    frame[0] = entry as usize as u64; // x19
    frame[1] = arg as u64; // x20
    frame[11] = thread_first_entry as *const () as u64; // x30
    let sp = (kstack_top & !15) - CONTEXT_SIZE;
    // SAFETY: the caller gives us the memory below `kstack_top`.
    unsafe { (sp as *mut [u64; CONTEXT_SIZE / 8]).write(frame) };
    sp
}

/// Returns where a thread that no CPU runs goes on, and its frame pointer.
///
/// # Safety
///
/// The thread does not run, nor begins to, until this returns.
pub unsafe fn suspended_position(thread: &Thread) -> (usize, usize) {
    // SAFETY: what `context_switch` or `init_stack` has left there, in its order.
    let frame = unsafe { &*(thread.kernel_sp() as *const [usize; CONTEXT_SIZE / 8]) };
    (frame[11], frame[10])
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
    // SAFETY: the caller's contract; the assembly keeps what a call must keep.
    unsafe { call_on_interrupt_stack_asm(function) };
}
