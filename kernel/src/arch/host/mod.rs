//! The machine for unit tests on the host: an ordinary process.
//!
//! `smp` brings its own stand-in for the scheduler (`smp::fake`); this is what
//! the rest of the kernel's logic asks of a machine.

pub mod page_copy;
pub mod page_table;
pub mod user_copy;

use std::io::Write;
use std::time::Instant;

/// Nanoseconds since the first call.
pub fn uptime_ns() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Runs `f`; there are no interrupts to turn off.
pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Tells the processor that the caller spins.
pub fn relax() {
    std::thread::yield_now();
}

/// The console is the standard error stream.
pub mod serial {
    use super::Write;

    pub fn write(bytes: &[u8]) {
        // A test whose standard error is closed has nobody to tell.
        let _ = std::io::stderr().write_all(bytes);
    }

    pub fn write_in_report(bytes: &[u8]) {
        write(bytes);
    }
}
