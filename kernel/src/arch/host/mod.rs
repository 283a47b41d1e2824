//! The machine for unit tests on the host: an ordinary process.
//!
//! `smp` brings its own stand-in for the scheduler (`smp::fake`); this is what
//! the rest of the kernel's logic asks of a machine.

pub mod entropy;
pub mod page_copy;
pub mod page_table;
mod user_context;
pub mod user_copy;

pub use user_context::{Registers, UserContext, call_on_stack, enter_user, user_stack_pointer};

use std::io::Write;
use std::time::Instant;

/// What uname(2) calls this kind of machine.
pub const MACHINE_NAME: &str = "host";

/// Old calls belong to real machines.
pub const LEGACY_CALLS: crate::libc::dispatch::Calls = &[];
pub const LEGACY_NAMES: &[(u32, &str)] = &[];

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

/// Nobody stops a test run; these end the test.
pub fn disable_interrupts() {}

/// There are no other CPUs.
pub fn stop_other_cpus() -> bool {
    true
}

/// Ends the test.
pub fn halt_forever() -> ! {
    panic!("the machine halts")
}

/// Ends the test.
///
/// # Safety
///
/// None is asked for.
pub unsafe fn call_on_interrupt_stack(_function: unsafe extern "C" fn(usize, usize, usize)) {
    panic!("the host has no interrupt stacks")
}

/// Ends the test.
pub fn report_fatal_signal(signal: i32, address: usize, _registers: Option<&Registers>) -> ! {
    panic!("fatal signal {signal} (address {address:#x})")
}

/// Turning the machine off ends the test.
pub mod power {
    pub fn poweroff() -> ! {
        panic!("the machine goes off")
    }

    pub fn reboot() -> ! {
        panic!("the machine restarts")
    }
}

/// The console is the standard error stream.
pub mod serial {
    use super::Write;

    /// Nobody types.
    pub fn try_read() -> Option<u8> {
        None
    }

    /// Nothing ever arrives.
    pub fn listen(_handler: fn()) -> Result<(), core::convert::Infallible> {
        Ok(())
    }

    pub fn write(bytes: &[u8]) {
        // A test whose standard error is closed has nobody to tell.
        let _ = std::io::stderr().write_all(bytes);
    }

    pub fn write_in_report(bytes: &[u8]) {
        write(bytes);
    }
}

/// The processor is of no interest to tests.
pub fn describe_cpu(text: &mut dyn core::fmt::Write) -> core::fmt::Result {
    writeln!(text, "model name\t: host")
}
