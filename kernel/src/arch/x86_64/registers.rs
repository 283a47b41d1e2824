//! The registers that `_hal` shows.

use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr2, Cr3};

use super::{clock, per_cpu};

/// The address of this CPU's last page fault (CR2).
pub fn fault_address() -> u64 {
    Cr2::read_raw()
}

/// The physical address of the page tables' root (CR3).
pub fn page_table_root() -> u64 {
    Cr3::read_raw().0.start_address().as_u64()
}

/// Makes this CPU forget its translations, as writing the same value to CR3 does.
pub fn forget_translations() {
    tlb::flush_all();
}

/// Reads the counter behind the clock (TSC).
pub fn counter() -> u64 {
    clock::counter()
}

/// How often it counts in a second.
pub fn counter_hz() -> u64 {
    clock::hz()
}

/// What the hardware calls the boot CPU (its local APIC id).
pub fn boot_cpu_id() -> u64 {
    per_cpu::cpu(smp::CpuId(0)).map_or(0, |cpu| cpu.apic_id().into())
}

/// How many bits a physical address has.
pub fn physical_bits() -> u32 {
    raw_cpuid::CpuId::new()
        .get_processor_capacity_feature_info()
        .map_or(36, |info| info.physical_address_bits().into())
}

/// The thread pointer of the thread that C knows as `pthread`.
pub fn thread_pointer_of(pthread: usize) -> usize {
    pthread
}
