//! The registers that `_hal` shows.

use aarch64_cpu::registers::{FAR_EL1, ID_AA64MMFR0_EL1, Readable, TTBR0_EL1};

use super::{clock, page_table, per_cpu};

/// The address of this CPU's last fault that has one (FAR_EL1).
pub fn fault_address() -> u64 {
    FAR_EL1.get()
}

/// The physical address of the page tables' root (TTBR0_EL1, without the address space number).
pub fn page_table_root() -> u64 {
    TTBR0_EL1.get() & !0xffff_0000_0000_0fff
}

/// Makes this CPU forget its translations.
pub fn forget_translations() {
    page_table::flush_all();
}

/// Reads the counter behind the clock (CNTVCT_EL0).
pub fn counter() -> u64 {
    clock::counter()
}

/// How often it counts in a second.
pub fn counter_hz() -> u64 {
    clock::hz()
}

/// What the hardware calls the boot CPU (its affinity in MPIDR_EL1).
pub fn boot_cpu_id() -> u64 {
    per_cpu::cpu(smp::CpuId(0)).map_or(0, |cpu| cpu.affinity())
}

/// How many bits a physical address has, of which entries of page tables hold up to 48.
pub fn physical_bits() -> u32 {
    const BITS: [u32; 6] = [32, 36, 40, 42, 44, 48];
    let range = ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange) as usize;
    BITS.get(range).copied().unwrap_or(48)
}

/// The thread pointer of the thread that C knows as `pthread`.
pub fn thread_pointer_of(pthread: usize) -> usize {
    pthread + pthread_shim::THREAD_BLOCK_SIZE
}
