//! Crashes on purpose, so that tests see what a report of them says.

use crate::arch;

/// Uses the running thread's kernel stack up.
pub fn kernel_stack_overflow() -> ! {
    dig(0);
    unreachable!("a stack has an end")
}

/// Uses the interrupt stack of this CPU up, as an interrupt handler that calls too deeply would.
pub fn interrupt_stack_overflow() -> ! {
    arch::disable_interrupts();
    // SAFETY: interrupts are off, so nobody is on the stack or will be; the machine ends there.
    unsafe { arch::call_on_interrupt_stack(dig_on_stack) };
    unreachable!("a stack has an end")
}

/// Keeps this CPU busy with interrupts off, so that it answers nobody. A report is to name it.
#[inline(never)]
pub fn spin_without_interrupts() -> ! {
    arch::disable_interrupts();
    loop {
        arch::relax();
    }
}

unsafe extern "C" fn dig_on_stack(_: usize, _: usize, _: usize) {
    dig(0);
}

/// Calls itself without end, with a stack frame that the compiler must keep.
#[inline(never)]
#[expect(
    unconditional_recursion,
    reason = "running out of stack is what it is for"
)]
fn dig(depth: usize) -> usize {
    let frame = core::hint::black_box([depth; 16]);
    let below = dig(depth + 1);
    below + core::hint::black_box(frame)[depth % 16]
}
