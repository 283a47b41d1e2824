//! The way from the first line of Rust to the interpreter.

use crate::boot::BootInfo;
use crate::{arch, log};

/// Runs on the boot CPU's first stack, with the boot page tables and interrupts
/// off; the serial port works.
pub fn start(boot_info: &'static BootInfo) -> ! {
    log::info!("kernel.boot", "PythonOS, {} boot", boot_info.protocol);
    let _ = arch::uptime_ns();
    panic!("nothing to do yet");
}
