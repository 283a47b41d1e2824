//! Turning the machine off, restarting it, leaving the emulator.

use x86_64::instructions::port::Port;

use super::acpi::{self, Register};
use super::{clock, cpu};
use crate::memory::{self, PhysAddr};

/// What `exit_emulator` reports for a fatal fault. QEMU's exit status is twice
/// that plus one.
pub const EXIT_FATAL: u32 = 0x10;

/// I/O port of QEMU's `isa-debug-exit` device.
const DEBUG_EXIT_PORT: u16 = 0xf4;

/// PM1 control register (ACPI 6.5, table 4.13).
const SCI_EN: u16 = 1;
const SLP_TYP_SHIFT: u16 = 10;
const SLP_TYP_MASK: u16 = 7 << SLP_TYP_SHIFT;
const SLP_EN: u16 = 1 << 13;
/// How long the firmware gets to hand the ACPI registers over, and the machine to go off.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Leaves QEMU with a status other than 0. Returns where there is no such device.
pub fn exit_emulator(code: u32) {
    // SAFETY: an unused port on real machines; QEMU ends when it is written.
    unsafe { Port::<u32>::new(DEBUG_EXIT_PORT).write(code) };
}

/// Turns the machine off: ACPI state S5. Returns only by halting, if the machine has
/// no such thing.
pub fn poweroff() -> ! {
    cpu::disable_interrupts();
    if let Some(power) = acpi::try_machine().map(|machine| &machine.power)
        && let Some(soft_off) = power.soft_off
    {
        if let Some(register) = power.sleep_control {
            // Sleep control register (ACPI 6.5, table 4.20): SLP_TYP in bits
            // 2-4, SLP_EN in bit 5.
            write(register, soft_off.pm1a << 2 | 1 << 5);
        } else if let Some(pm1a) = power.pm1a_control {
            take_over(pm1a, power.enable);
            for (port, kind) in [
                (Some(pm1a), soft_off.pm1a),
                (power.pm1b_control, soft_off.pm1b),
            ] {
                let Some(port) = port else { continue };
                let mut register = Port::<u16>::new(port);
                // SAFETY: the FADT names the port; what is written turns off.
                unsafe {
                    let value = register.read() & !(SLP_TYP_MASK | SLP_EN);
                    register.write(value | u16::from(kind) << SLP_TYP_SHIFT | SLP_EN);
                }
            }
        }
        clock::spin_ns(PATIENCE_NS);
    }
    crate::log::error!(
        "kernel.power",
        "this machine does not turn itself off; it is halted"
    );
    cpu::halt_forever()
}

/// Makes the firmware hand over the ACPI registers, if it has not yet (ACPI 6.5,
/// 4.8.1).
fn take_over(pm1a: u16, enable: Option<(u16, u8)>) {
    let mut control = Port::<u16>::new(pm1a);
    // SAFETY: the FADT names both ports and the value.
    unsafe {
        let Some((port, value)) = enable.filter(|_| control.read() & SCI_EN == 0) else {
            return;
        };
        Port::<u8>::new(port).write(value);
        let deadline = clock::now_ns() + PATIENCE_NS;
        while control.read() & SCI_EN == 0 && clock::now_ns() < deadline {
            core::hint::spin_loop();
        }
    }
}

/// Restarts the machine: by ACPI's reset register, else by the keyboard controller,
/// else by an exception that cannot be delivered.
pub fn reboot() -> ! {
    cpu::disable_interrupts();
    if let Some((register, value)) = acpi::try_machine().and_then(|machine| machine.power.reset) {
        write(register, value);
        pause();
    }
    // SAFETY: pulsing the reset line through the keyboard controller: the
    // machine restarts, or nothing happens.
    unsafe { Port::<u8>::new(0x64).write(0xfe) };
    pause();
    // SAFETY: an empty descriptor table: the exception cannot be delivered, nor
    // the double fault that follows, and the CPU asks for a reset.
    unsafe {
        let empty = x86_64::structures::DescriptorTablePointer {
            limit: 0,
            base: x86_64::VirtAddr::zero(),
        };
        x86_64::instructions::tables::lidt(&empty);
        core::arch::asm!("int3");
    }
    cpu::halt_forever()
}

fn pause() {
    clock::spin_ns(PATIENCE_NS / 10);
}

fn write(register: Register, value: u8) {
    match register {
        // SAFETY: the firmware's tables name the register for this purpose.
        Register::Port(port) => unsafe { Port::<u8>::new(port).write(value) },
        // SAFETY: as above.
        Register::Memory(address) => unsafe {
            memory::map_mmio(PhysAddr(address), 1).write_volatile(value);
        },
    }
}
