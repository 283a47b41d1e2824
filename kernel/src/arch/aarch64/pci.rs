//! PCI configuration space in memory (ECAM, PCI Express Base Specification 5.0, 7.2.2), where the device tree
//! names it.

use core::sync::atomic::{AtomicUsize, Ordering};

use smp::SpinLock;

use super::{device_access, device_tree};
use crate::drivers::PciWindows;
use crate::hal::PciSegment;
use crate::memory::{self, PhysAddr};

const BUS_SIZE: usize = 1 << 20;
const BUSES: usize = 256;

/// Where the configuration space of each bus is seen; 0 until somebody asks.
static MAPPED: [AtomicUsize; BUSES] = [const { AtomicUsize::new(0) }; BUSES];
/// Held while one is mapped.
static MAPPING: SpinLock<()> = SpinLock::new(());

fn register(bus: u8, device: u8, function: u8, offset: u8) -> Option<*mut u32> {
    let space = device_tree::machine().pci.as_ref()?.configuration;
    let start = usize::from(bus) * BUS_SIZE;
    if (start + BUS_SIZE) as u64 > space.len() {
        return None;
    }
    let place = &MAPPED[usize::from(bus)];
    let mut mapped = place.load(Ordering::Acquire);
    if mapped == 0 {
        let _turn = MAPPING.lock();
        mapped = place.load(Ordering::Acquire);
        if mapped == 0 {
            // SAFETY: the device tree says that this is configuration space; drivers reach their devices'
            // through this module alone.
            mapped = unsafe { memory::map_mmio(PhysAddr(space.start + start as u64), BUS_SIZE) }
                .expose_provenance();
            // Release pairs with the Acquire above: the mapping is there.
            place.store(mapped, Ordering::Release);
        }
    }
    let within =
        usize::from(device & 31) << 15 | usize::from(function & 7) << 12 | usize::from(offset & !3);
    Some(core::ptr::with_exposed_provenance_mut(mapped + within))
}

/// Reads a word; all ones where there is no device.
pub fn read_configuration(bus: u8, device: u8, function: u8, offset: u8) -> u32 {
    // SAFETY: reading configuration space has no effect on a device.
    register(bus, device, function, offset).map_or(u32::MAX, |word| unsafe { word.read_volatile() })
}

/// Writes a word.
pub fn write_configuration(bus: u8, device: u8, function: u8, offset: u8, data: u32) {
    if let Some(word) = register(bus, device, function, offset) {
        // SAFETY: the caller is the function's driver; what its registers mean is the driver's to know.
        unsafe { word.write_volatile(data) };
    }
}

/// Returns what addresses are to be given to devices: there is no firmware that has done that.
pub fn windows() -> Option<PciWindows> {
    let host = device_tree::machine().pci.as_ref()?;
    let buses = (host.configuration.len() / BUS_SIZE as u64).min(BUSES as u64);
    Some(PciWindows {
        low: host.low_memory,
        high: host.high_memory,
        last_bus: u8::try_from(buses.checked_sub(1)?).expect("there are at most 256"),
    })
}

/// The bytes of a function's configuration space that can be reached.
pub fn configuration_size() -> usize {
    4096
}

/// Where a register is seen, at its very byte.
fn register_address(bus: u8, device: u8, function: u8, offset: u16) -> Option<usize> {
    // What lies beyond the first 256 bytes is as far behind them as the offset says.
    let start = register(bus, device, function, 0)?;
    Some(start.expose_provenance() + usize::from(offset & 0xfff))
}

/// Reads one, two or four bytes of configuration space, as aligned; all ones where there is no device.
pub fn read_register(bus: u8, device: u8, function: u8, offset: u16, width: usize) -> u32 {
    register_address(bus, device, function, offset)
        // SAFETY: configuration space is seen there; reading it has no effect on a device.
        .and_then(|address| unsafe { device_access::load(address, width) }.ok())
        .unwrap_or(u32::MAX)
}

/// Writes one, two or four bytes of configuration space, as aligned, and no others: some registers change
/// by being written what they hold.
pub fn write_register(bus: u8, device: u8, function: u8, offset: u16, width: usize, value: u32) {
    if let Some(address) = register_address(bus, device, function, offset) {
        // What is not there takes nothing.
        // SAFETY: the caller drives the device.
        let _ = unsafe { device_access::store(address, width, value) };
    }
}

/// The buses there are, and where their configuration space lies in memory.
pub fn segment() -> Option<PciSegment> {
    let space = device_tree::machine().pci.as_ref()?.configuration;
    let buses = (space.len() as usize / BUS_SIZE).clamp(1, BUSES);
    Some(PciSegment {
        first_bus: 0,
        last_bus: (buses - 1) as u8,
        memory: Some(space.start),
    })
}
