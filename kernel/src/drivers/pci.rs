//! The PCI buses, as the `virtio-drivers` crate walks them.

use alloc::vec::Vec;

use virtio_drivers::transport::pci::bus::{
    Command, ConfigurationAccess, DeviceFunction, DeviceFunctionInfo, HeaderType, PciRoot,
};

use super::pci_setup;
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

/// Lets a function answer at its addresses and read and write memory by itself.
pub fn enable(function: DeviceFunction) {
    let mut root = root();
    let (_, command) = root.get_status_command(function);
    root.set_command(
        function,
        command | Command::MEMORY_SPACE | Command::BUS_MASTER,
    );
}
