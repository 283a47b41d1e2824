//! The steps of starting this machine, in the order in which `crate::start`
//! takes them.

use super::{clock, cpu, gic, irq, per_cpu, secondary, syscall};
use crate::boot::BootInfo;
use crate::log;

/// Starts the clock. There is no heap yet, and the boot page tables are in use.
pub fn init_early(_boot_info: &'static BootInfo) {
    cpu::init();
    syscall::init();
    let hz = clock::init();
    log::info!(
        "kernel.boot",
        "clock: generic timer {}.{:03} MHz",
        hz / 1_000_000,
        hz / 1_000 % 1_000
    );
}

/// Sets up the interrupt controller, and makes the caller's context the boot CPU's
/// idle thread.
pub fn init_interrupts() {
    gic::init_boot_cpu();
    irq::name_local();
    log::info!("kernel.boot", "{}", gic::name());
    smp::init_cpu(secondary::boot_stack_top());
}

/// Begins to start the secondary CPUs.
pub fn start_secondary_cpus(_boot_info: &BootInfo) {
    secondary::start_all();
}

/// Waits for them; returns how many CPUs run, and of how many.
pub fn wait_for_secondary_cpus(_boot_info: &BootInfo) -> (usize, usize) {
    secondary::wait_online()
}

/// How many CPUs have come up.
pub fn cpu_count() -> usize {
    per_cpu::all().count()
}
