//! PCI configuration space through the I/O ports of configuration mechanism 1 (PCI Local Bus
//! Specification 3.0, section 3.2.2.3.2): every PC has it.

use smp::SpinLock;
use x86_64::instructions::port::Port;

use crate::drivers::PciWindows;

const ENABLE: u32 = 1 << 31;

/// Address and data port: an access is two steps, which must stay together.
static PORTS: SpinLock<(Port<u32>, Port<u32>)> =
    SpinLock::new((Port::new(0xcf8), Port::new(0xcfc)));

fn address(bus: u8, device: u8, function: u8, offset: u8) -> u32 {
    ENABLE
        | u32::from(bus) << 16
        | u32::from(device & 31) << 11
        | u32::from(function & 7) << 8
        | u32::from(offset & !3)
}

/// Reads a word; all ones where there is no device.
pub fn read_configuration(bus: u8, device: u8, function: u8, offset: u8) -> u32 {
    let mut ports = PORTS.lock();
    // SAFETY: reading configuration space has no effect on a device.
    unsafe {
        ports.0.write(address(bus, device, function, offset));
        ports.1.read()
    }
}

/// Writes a word.
pub fn write_configuration(bus: u8, device: u8, function: u8, offset: u8, data: u32) {
    let mut ports = PORTS.lock();
    // SAFETY: the caller is the function's driver; what its registers mean is the driver's to know.
    unsafe {
        ports.0.write(address(bus, device, function, offset));
        ports.1.write(data);
    }
}

/// Returns what addresses are to be given to devices: none, as the firmware of a PC has done that.
pub fn windows() -> Option<PciWindows> {
    None
}
