//! Turning the machine off and restarting it, in good order.

use crate::{arch, log};

/// Turns the machine off.
pub fn poweroff() -> ! {
    log::info!("kernel.power", "power off");
    arch::power::poweroff()
}

/// Restarts the machine.
pub fn reboot() -> ! {
    log::info!("kernel.power", "restart");
    arch::power::reboot()
}
