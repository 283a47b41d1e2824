//! The PCI buses, as the `virtio-drivers` crate walks them.

use alloc::vec::Vec;

use virtio_drivers::transport::pci::bus::{
    Command, ConfigurationAccess, DeviceFunction, DeviceFunctionInfo, HeaderType, PciRoot,
};

use super::pci_setup;
use crate::memory::{self, PhysAddr};
use crate::{arch, log};

/// Where a bridge keeps the numbers of its buses: primary, secondary, subordinate.
const BUS_NUMBERS: u8 = 0x18;

/// Access to configuration space through the architecture's means.
pub struct Configuration;

impl ConfigurationAccess for Configuration {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        arch::pci::read_configuration(function.bus, function.device, function.function, offset)
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, data: u32) {
        arch::pci::write_configuration(
            function.bus,
            function.device,
            function.function,
            offset,
            data,
        );
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// All buses of the machine.
pub fn root() -> PciRoot<Configuration> {
    PciRoot::new(Configuration)
}

/// Numbers the buses and gives devices addresses on a machine whose firmware has not.
pub fn init() {
    let Some(windows) = arch::pci::windows() else {
        return;
    };
    for (function, bar) in pci_setup::set_up(Configuration, windows) {
        log::warn!(
            "kernel.drivers",
            "no addresses for BAR {bar} of PCI {function}"
        );
    }
}

/// Finds every function on bus 0 and behind the bridges, whose buses have numbers.
/// Buses that nothing leads to are left alone: looking costs thousands of slow accesses.
pub fn collect_functions() -> Vec<(DeviceFunction, DeviceFunctionInfo)> {
    let root = root();
    let mut found = Vec::new();
    let mut buses = alloc::vec![0];
    let mut next = 0;
    while let Some(&bus) = buses.get(next) {
        next += 1;
        for (function, info) in root.enumerate_bus(bus) {
            if info.header_type == HeaderType::PciPciBridge {
                let behind = (Configuration.read_word(function, BUS_NUMBERS) >> 8) as u8;
                if !buses.contains(&behind) {
                    buses.push(behind);
                }
            }
            found.push((function, info));
        }
    }
    found
}

/// Lets a function answer at its addresses and read and write memory by itself, but not interrupt by its line:
/// others may share that.
pub fn enable(function: DeviceFunction) {
    let mut root = root();
    let (_, command) = root.get_status_command(function);
    root.set_command(
        function,
        command | Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
    );
}

/// Lets a function interrupt by its line.
pub fn enable_line(function: DeviceFunction) {
    let mut root = root();
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command - Command::INTERRUPT_DISABLE);
}

/// Reads a word of a function's configuration space.
pub fn read(function: DeviceFunction, offset: u8) -> u32 {
    Configuration.read_word(function, offset)
}

/// Returns the capabilities of a function: what each is, and where.
pub fn capabilities(function: DeviceFunction) -> impl Iterator<Item = (u8, u8)> {
    let found: Vec<_> = root()
        .capabilities(function)
        .map(|capability| (capability.id, capability.offset))
        .collect();
    found.into_iter()
}

/// Returns where a function's registers are in memory.
pub fn bar_address(function: DeviceFunction, bar: u8) -> Option<u64> {
    let info = root().bar_info(function, bar).ok()??;
    info.memory_address_size().map(|(address, _)| address)
}

/// Returns the pin that a function interrupts by, 1 to 4 (INTA to INTD).
pub fn interrupt_pin(function: DeviceFunction) -> Option<u8> {
    const LINE_AND_PIN: u8 = 0x3c;
    let pin = (read(function, LINE_AND_PIN) >> 8) as u8;
    (1..=4).contains(&pin).then_some(pin)
}

/// Has a function interrupt by messages (MSI-X; PCI Express Base Specification 5.0, 7.7.2), of which the
/// first writes `data` to `address`; false if it cannot.
pub fn set_message(function: DeviceFunction, address: u64, data: u32) -> bool {
    const MSI_X: u8 = 0x11;
    const ENABLE: u32 = 1 << 31;
    const MASK_ALL: u32 = 1 << 30;
    const BAR: u32 = 7;
    /// Address, data, and a word whose first bit masks the message.
    const ENTRY: usize = 16;
    let Some((_, offset)) = capabilities(function).find(|&(id, _)| id == MSI_X) else {
        return false;
    };
    let table = read(function, offset + 4);
    let Some(start) = bar_address(function, (table & BAR) as u8) else {
        return false;
    };
    enable(function);
    let start = PhysAddr(start + u64::from(table & !BAR));
    // SAFETY: the function says that its table is there, and this is its driver.
    unsafe {
        let entry = memory::map_mmio(start, ENTRY).cast::<u32>();
        entry.write_volatile(address as u32);
        entry.add(1).write_volatile((address >> 32) as u32);
        entry.add(2).write_volatile(data);
        entry.add(3).write_volatile(0);
    }
    let control = read(function, offset);
    Configuration.write_word(function, offset, control & !MASK_ALL | ENABLE);
    true
}
