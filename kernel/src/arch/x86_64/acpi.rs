//! What the firmware's ACPI tables say about the machine, read once, early.
//!
//! The tables are parsed by the `acpi` crate while the boot page tables still
//! map low memory 1:1; what is kept are plain numbers. No AML is run: `\_S5` is a
//! constant, and nothing else of it is needed.

use core::ptr::NonNull;

use ::acpi::address::{AddressSpace, GenericAddress};
use ::acpi::fadt::Fadt;
use ::acpi::madt::{Madt, MadtEntry};
use ::acpi::mcfg::Mcfg;
use ::acpi::{AcpiHandler, AcpiTables, HpetInfo, PhysicalMapping};
use spin::Once;

use super::early_map;
use crate::boot::{BootInfo, SleepTypes, find_soft_off};

/// Most CPUs that are brought up.
const MAX_CPUS: usize = smp::MAX_CPUS;

/// A short list of numbers that needs no heap.
#[derive(Clone, Copy, Debug)]
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> List<T, N> {
    const fn new(empty: T) -> Self {
        Self {
            items: [empty; N],
            len: 0,
        }
    }

    /// Adds an item; returns false if there is no room.
    fn push(&mut self, item: T) -> bool {
        let Some(place) = self.items.get_mut(self.len) else {
            return false;
        };
        *place = item;
        self.len += 1;
        true
    }

    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }
}

/// An I/O APIC: physical address of its registers and its first interrupt.
#[derive(Clone, Copy, Debug)]
pub struct IoApicInfo {
    pub address: u64,
    pub first_gsi: u32,
}

/// Where an ISA interrupt arrives, if not at the input of the same number.
#[derive(Clone, Copy, Debug)]
pub struct Override {
    pub isa: u8,
    pub gsi: u32,
    pub is_active_low: bool,
    pub is_level: bool,
}

/// A register in I/O or memory space.
#[derive(Clone, Copy, Debug)]
pub enum Register {
    Port(u16),
    Memory(u64),
}

/// The registers that end or restart the machine's work.
#[derive(Clone, Copy, Debug, Default)]
pub struct PowerInfo {
    /// PM1a and PM1b control registers and the values that mean "off".
    pub pm1a_control: Option<u16>,
    pub pm1b_control: Option<u16>,
    /// The sleep control register of a machine with reduced hardware.
    pub sleep_control: Option<Register>,
    pub soft_off: Option<SleepTypes>,
    /// SMI command port and the value that hands the registers to us.
    pub enable: Option<(u16, u8)>,
    pub reset: Option<(Register, u8)>,
}

/// PCI configuration space in memory (PCI Firmware Specification 3.3, 4.1.2): that of segment 0.
#[derive(Clone, Copy, Debug)]
pub struct Ecam {
    /// Where that of bus 0 lies, or would lie.
    pub address: u64,
    pub first_bus: u8,
    pub last_bus: u8,
}

/// What the tables say.
#[derive(Debug)]
pub struct Machine {
    /// Local APIC ids of the enabled CPUs, in the firmware's order.
    pub cpus: List<u32, MAX_CPUS>,
    /// Enabled CPUs beyond those.
    pub ignored_cpus: usize,
    pub local_apic: u64,
    pub io_apics: List<IoApicInfo, 16>,
    pub overrides: List<Override, 16>,
    pub hpet: Option<u64>,
    pub ecam: Option<Ecam>,
    /// I/O port of the ACPI power management timer.
    pub pm_timer: Option<u16>,
    pub power: PowerInfo,
    /// CMOS index of the century, if the RTC has one.
    pub rtc_century: Option<u8>,
}

impl Machine {
    /// A PC without ACPI: one CPU.
    const fn new() -> Self {
        Self {
            cpus: List::new(0),
            ignored_cpus: 0,
            local_apic: 0xfee0_0000,
            io_apics: List::new(IoApicInfo {
                address: 0,
                first_gsi: 0,
            }),
            overrides: List::new(Override {
                isa: 0,
                gsi: 0,
                is_active_low: false,
                is_level: false,
            }),
            hpet: None,
            ecam: None,
            pm_timer: None,
            power: PowerInfo {
                pm1a_control: None,
                pm1b_control: None,
                sleep_control: None,
                soft_off: None,
                enable: None,
                reset: None,
            },
            rtc_century: None,
        }
    }
}

static MACHINE: Once<Machine> = Once::new();

/// What the tables say; after `init`.
pub fn machine() -> &'static Machine {
    MACHINE.get().expect("acpi::init runs before anybody asks")
}

/// The same for a report, which may come before `init`.
pub fn try_machine() -> Option<&'static Machine> {
    MACHINE.get()
}

/// Maps tables through the boot page tables.
#[derive(Clone, Debug)]
struct EarlyHandler;

impl AcpiHandler for EarlyHandler {
    unsafe fn map_physical_region<T>(
        &self,
        address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        early_map::ensure(address as u64, size as u64);
        let pointer = NonNull::new(address as *mut T).expect("no ACPI table lies at address 0");
        // SAFETY: the boot page tables map the region 1:1 now.
        unsafe { PhysicalMapping::new(address, pointer, size, size, Self) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}

/// Reads the tables. The boot page tables must still be in use.
pub fn init(boot_info: &'static BootInfo) {
    MACHINE.call_once(|| {
        let mut machine = Machine::new();
        if let Some(tables) = find_tables(boot_info) {
            read_madt(&tables, &mut machine);
            read_fadt(&tables, &mut machine);
            machine.hpet = HpetInfo::new(&tables)
                .ok()
                .map(|hpet| hpet.base_address as u64);
            machine.ecam = read_mcfg(&tables);
        }
        machine
    });
}

fn find_tables(boot_info: &'static BootInfo) -> Option<AcpiTables<EarlyHandler>> {
    // A copy in our own memory has the same address in both worlds.
    let copy = boot_info.rsdp_copy().map(|copy| copy.as_ptr() as u64);
    for rsdp in [copy, boot_info.rsdp()].into_iter().flatten() {
        // SAFETY: the boot loader says that the RSDP is there; the crate checks
        // its signature and sum.
        if let Ok(tables) = unsafe { AcpiTables::from_rsdp(EarlyHandler, rsdp as usize) } {
            return Some(tables);
        }
    }
    // SAFETY: the BIOS areas below 1 MiB are readable on every PC.
    unsafe { AcpiTables::search_for_rsdp_bios(EarlyHandler) }.ok()
}

fn read_madt(tables: &AcpiTables<EarlyHandler>, machine: &mut Machine) {
    /// Flags of a CPU: enabled (ACPI 6.5, table 5.23).
    const ENABLED: u32 = 1;
    let Ok(madt) = tables.find_table::<Madt>() else {
        return;
    };
    machine.local_apic = madt.get().local_apic_address.into();
    for entry in madt.get().entries() {
        let cpu = match entry {
            MadtEntry::LocalApic(cpu) if cpu.flags & ENABLED != 0 => u32::from(cpu.apic_id),
            // A CPU may have both kinds of entry; the id is the same then.
            MadtEntry::LocalX2Apic(cpu) if cpu.flags & ENABLED != 0 => cpu.x2apic_id,
            MadtEntry::IoApic(io_apic) => {
                machine.io_apics.push(IoApicInfo {
                    address: io_apic.io_apic_address.into(),
                    first_gsi: io_apic.global_system_interrupt_base,
                });
                continue;
            }
            MadtEntry::InterruptSourceOverride(source) => {
                // MPS INTI flags (ACPI 6.5, table 5.26): polarity in bits 0-1,
                // trigger mode in bits 2-3; 3 is low or level, and what the bus
                // does by default is high and edge on ISA.
                machine.overrides.push(Override {
                    isa: source.irq,
                    gsi: source.global_system_interrupt,
                    is_active_low: source.flags & 3 == 3,
                    is_level: source.flags >> 2 & 3 == 3,
                });
                continue;
            }
            MadtEntry::LocalApicAddressOverride(place) => {
                machine.local_apic = place.local_apic_address;
                continue;
            }
            _ => continue,
        };
        if !machine.cpus.as_slice().contains(&cpu) && !machine.cpus.push(cpu) {
            machine.ignored_cpus += 1;
        }
    }
}

fn read_mcfg(tables: &AcpiTables<EarlyHandler>) -> Option<Ecam> {
    let mcfg = tables.find_table::<Mcfg>().ok()?;
    let mcfg = mcfg.get();
    let mut entries = mcfg.entries().iter();
    let entry = entries.find(|entry| entry.pci_segment_group == 0)?;
    Some(Ecam {
        address: entry.base_address,
        first_bus: entry.bus_number_start,
        last_bus: entry.bus_number_end,
    })
}

fn read_fadt(tables: &AcpiTables<EarlyHandler>, machine: &mut Machine) {
    let Ok(fadt) = tables.find_table::<Fadt>() else {
        return;
    };
    let port = |address: GenericAddress| match register(address) {
        Some(Register::Port(port)) if port != 0 => Some(port),
        _ => None,
    };
    machine.pm_timer = fadt.pm_timer_block().ok().flatten().and_then(port);
    machine.rtc_century = Some(fadt.century).filter(|&index| index != 0);
    let flags = fadt.flags;
    machine.power = PowerInfo {
        pm1a_control: fadt.pm1a_control_block().ok().and_then(port),
        pm1b_control: fadt.pm1b_control_block().ok().flatten().and_then(port),
        sleep_control: flags
            .system_is_hw_reduced_acpi()
            .then(|| {
                fadt.sleep_control_register()
                    .ok()
                    .flatten()
                    .and_then(register)
            })
            .flatten(),
        soft_off: soft_off(tables),
        enable: (fadt.smi_cmd_port != 0 && fadt.acpi_enable != 0)
            .then_some((fadt.smi_cmd_port as u16, fadt.acpi_enable)),
        reset: flags
            .supports_system_reset_via_fadt()
            .then(|| fadt.reset_register().ok().and_then(register))
            .flatten()
            .map(|register| (register, fadt.reset_value)),
    };
}

fn register(address: GenericAddress) -> Option<Register> {
    match address.address_space {
        AddressSpace::SystemIo => Some(Register::Port(address.address as u16)),
        AddressSpace::SystemMemory => Some(Register::Memory(address.address)),
        _ => None,
    }
}

fn soft_off(tables: &AcpiTables<EarlyHandler>) -> Option<SleepTypes> {
    let search = |address: usize, length: u32| {
        early_map::ensure(address as u64, length.into());
        // SAFETY: the table lies there with this length, and is mapped now.
        find_soft_off(unsafe { core::slice::from_raw_parts(address as *const u8, length as usize) })
    };
    let dsdt = tables
        .dsdt()
        .ok()
        .and_then(|table| search(table.address, table.length));
    dsdt.or_else(|| {
        tables
            .ssdts()
            .find_map(|table| search(table.address, table.length))
    })
}
