//! The steps of starting this machine, in the order in which `crate::start`
//! takes them.

use super::{acpi, apic, clock, cpu, idt, irq, per_cpu, secondary, syscall};
use crate::boot::BootInfo;
use crate::log;

/// Makes the boot CPU able to survive a fault, reads the firmware's tables and
/// starts the clock. There is no heap yet, and the boot page tables are in use.
pub fn init_early(boot_info: &'static BootInfo) {
    per_cpu::init_boot_cpu(apic::initial_id());
    idt::init();
    cpu::init();
    syscall::init();
    irq::silence_8259();
    acpi::init(boot_info);
    let rate = clock::init(acpi::machine());
    log::info!(
        "kernel.boot",
        "clock: TSC {}.{:03} MHz by {}",
        rate.hz / 1_000_000,
        rate.hz / 1_000 % 1_000,
        rate.source
    );
}

/// Sets up local and I/O APICs, and makes the caller's context the boot CPU's
/// idle thread.
pub fn init_interrupts() {
    apic::init_boot_cpu();
    irq::init();
    irq::name_local();
    apic::finish_calibration();
    let (timer, hz) = apic::timer_description();
    log::info!(
        "kernel.boot",
        "{} mode, {timer} timer {} kHz",
        apic::mode(),
        hz / 1000
    );
    smp::init_cpu(secondary::boot_stack_top());
}

/// Begins to start the secondary CPUs.
pub fn start_secondary_cpus(boot_info: &BootInfo) {
    secondary::start_all(boot_info);
}

/// Waits for them; returns how many CPUs run, and of how many.
pub fn wait_for_secondary_cpus(boot_info: &BootInfo) -> (usize, usize) {
    secondary::start_again(boot_info);
    secondary::wait_online()
}

/// How many CPUs have come up.
pub fn cpu_count() -> usize {
    per_cpu::all().count()
}
