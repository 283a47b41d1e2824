//! Turning the machine off and restarting it, in good order.

use crate::{arch, log};

/// Turns the machine off.
pub fn poweroff() -> ! {
    log::info!("kernel.power", "power off");
    arch::power::poweroff()
}

/// Stops the machine and leaves it on.
pub fn halt() -> ! {
    log::info!("kernel.power", "halt");
    arch::disable_interrupts();
    arch::stop_other_cpus();
    arch::halt_forever()
}

/// Restarts the machine.
pub fn reboot() -> ! {
    log::info!("kernel.power", "restart");
    arch::power::reboot()
}
