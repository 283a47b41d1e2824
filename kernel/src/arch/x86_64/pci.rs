//! PCI configuration space through the I/O ports of configuration mechanism 1 (PCI Local Bus
//! Specification 3.0, section 3.2.2.3.2): every PC has it.

use smp::SpinLock;
use x86_64::instructions::port::Port;

use super::{acpi, device_access};
use crate::drivers::PciWindows;
use crate::hal::PciSegment;
use crate::memory::physical;

const ENABLE: u32 = 1 << 31;
const DATA_PORT: u16 = 0xcfc;

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

/// The bytes of a function's configuration space that can be reached: all where ACPI says that it lies in
/// memory, else those of mechanism 1.
pub fn configuration_size() -> usize {
    if acpi::machine().ecam.is_some() {
        4096
    } else {
        256
    }
}

/// Reads one, two or four bytes of configuration space, as aligned.
pub fn read_register(bus: u8, device: u8, function: u8, offset: u16, width: usize) -> u32 {
    if offset >= 256 {
        return extended(bus, device, function, offset)
            // SAFETY: configuration space is seen there; reading it has no effect on a device.
            .and_then(|address| unsafe { device_access::load(address, width) }.ok())
            .unwrap_or(u32::MAX);
    }
    let lane = offset % 4;
    let mut ports = PORTS.lock();
    // SAFETY: reading configuration space has no effect on a device.
    unsafe {
        ports.0.write(address(bus, device, function, offset as u8));
        super::ports::read(DATA_PORT + lane, width)
    }
}

/// Writes one, two or four bytes of configuration space, as aligned, and no others: some registers change
/// by being written what they hold.
pub fn write_register(bus: u8, device: u8, function: u8, offset: u16, width: usize, value: u32) {
    if offset >= 256 {
        if let Some(address) = extended(bus, device, function, offset) {
            // What is not there takes nothing, as with the ports.
            // SAFETY: the caller drives the device.
            let _ = unsafe { device_access::store(address, width, value) };
        }
        return;
    }
    let lane = offset % 4;
    let mut ports = PORTS.lock();
    // SAFETY: the caller drives the device.
    unsafe {
        ports.0.write(address(bus, device, function, offset as u8));
        super::ports::write(DATA_PORT + lane, width, value);
    }
}

/// Where a register of the extended space is seen.
fn extended(bus: u8, device: u8, function: u8, offset: u16) -> Option<usize> {
    let ecam = acpi::machine().ecam?;
    if !(ecam.first_bus..=ecam.last_bus).contains(&bus) {
        return None;
    }
    let place = usize::from(bus) << 20
        | usize::from(device & 31) << 15
        | usize::from(function & 7) << 12
        | usize::from(offset & 0xfff);
    physical::register_address(ecam.address as usize + place).ok()
}

/// The buses there are, and where their configuration space lies in memory.
pub fn segment() -> Option<PciSegment> {
    let ecam = acpi::machine().ecam;
    Some(PciSegment {
        first_bus: ecam.map_or(0, |ecam| ecam.first_bus),
        last_bus: ecam.map_or(255, |ecam| ecam.last_bus),
        memory: ecam.map(|ecam| ecam.address),
    })
}
