//! Turning the machine off, restarting it, starting CPUs, leaving the emulator: PSCI (Arm DEN 0022) by the
//! `smccc` crate, and semihosting.

use core::arch::asm;

use smccc::psci::{self, error::Error};
use smccc::{Hvc, Smc};

use super::device_tree::{self, Conduit};
use super::{cpu, guarded};

/// What `exit_emulator` reports for a fatal fault. QEMU's exit status is twice
/// that plus one.
pub const EXIT_FATAL: u32 = 0x10;

/// Leaves QEMU with a status other than 0, the same as on other machines. Returns where nobody takes
/// semihosting calls.
pub fn exit_emulator(code: u32) {
    extern "C" fn call(code: usize) {
        /// SYS_EXIT_EXTENDED and ADP_Stopped_ApplicationExit (Arm's semihosting specification, 6.5).
        const EXIT: usize = 0x20;
        const APPLICATION_EXIT: usize = 0x2_0026;
        let block = [APPLICATION_EXIT, code << 1 | 1];
        // SAFETY: the emulator ends; without one it is an undefined instruction, which ends the guarded
        // call.
        unsafe {
            asm!("hlt 0xf000", inout("x0") EXIT => _, in("x1") &raw const block, options(nostack));
        }
    }
    // SAFETY: interrupts are off, and nothing is left half done.
    cpu::without_interrupts(|| unsafe { guarded::call(call, code as usize) });
}

/// Turns the machine off. Returns only by halting, if the machine has no such thing.
pub fn poweroff() -> ! {
    cpu::disable_interrupts();
    let _ = call(psci::system_off::<Hvc>, psci::system_off::<Smc>);
    crate::log::error!(
        "kernel.power",
        "this machine does not turn itself off; it is halted"
    );
    cpu::halt_forever()
}

/// Restarts the machine.
pub fn reboot() -> ! {
    cpu::disable_interrupts();
    let _ = call(psci::system_reset::<Hvc>, psci::system_reset::<Smc>);
    crate::log::error!(
        "kernel.power",
        "this machine does not restart itself; it is halted"
    );
    cpu::halt_forever()
}

/// Starts a CPU at a physical address, with `argument` in x0.
///
/// # Safety
///
/// There is code for it at the address.
pub unsafe fn start_cpu(affinity: u64, entry: u64, argument: u64) -> Result<(), Error> {
    call(
        || psci::cpu_on::<Hvc>(affinity, entry, argument),
        || psci::cpu_on::<Smc>(affinity, entry, argument),
    )
}

/// Calls the firmware the way the device tree says.
fn call(
    by_hvc: impl FnOnce() -> Result<(), Error>,
    by_smc: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    match device_tree::try_machine().and_then(|machine| machine.psci) {
        Some(Conduit::Hvc) => by_hvc(),
        Some(Conduit::Smc) => by_smc(),
        None => Err(Error::NotSupported),
    }
}
