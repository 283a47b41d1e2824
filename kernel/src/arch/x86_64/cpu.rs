//! What one CPU does with itself.

use x86_64::instructions::{hlt, interrupts};

/// Runs `f` with interrupts off on this CPU.
pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    interrupts::without_interrupts(f)
}

/// Tells the CPU that the caller spins.
pub fn relax() {
    core::hint::spin_loop();
}

/// Stops this CPU for ever.
pub fn halt_forever() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}
