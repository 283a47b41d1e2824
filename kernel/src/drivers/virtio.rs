//! Finding virtio devices: on the PCI buses, and where the architecture knows registers of virtio over MMIO
//! (Virtual I/O Device specification 1.2, 4.1 and 4.2).

use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;

use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::pci::bus::DeviceFunction;
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::transport::{DeviceType, SomeTransport};

use super::dma::Machine;
use super::pci;
use crate::memory::{self, PhysAddr};
use crate::{arch, log};

/// "virt", where a device's registers begin.
const MAGIC: u32 = 0x7472_6976;
/// The word of the registers that says what device it is; 0 in a place that is empty.
const DEVICE_ID: usize = 2;

/// A device that no driver has taken yet.
pub struct Device {
    kind: DeviceType,
    place: Place,
}

enum Place {
    Pci(DeviceFunction),
    Registers {
        address: u64,
        header: NonNull<VirtIOHeader>,
        len: usize,
    },
}

/// Finds the devices of the machine: those on PCI come first.
pub fn collect() -> Vec<Device> {
    let on_pci = pci::collect_functions()
        .into_iter()
        .filter_map(|(function, info)| {
            let kind = virtio_device_type(&info)?;
            Some(Device {
                kind,
                place: Place::Pci(function),
            })
        });
    let mut found: Vec<_> = on_pci.collect();
    found.extend(arch::virtio_registers().iter().filter_map(|registers| {
        let (address, len) = (registers.start, registers.len() as usize);
        // SAFETY: the architecture says that these are a virtio device's registers, and each device gets one
        // driver.
        let mapped = unsafe { memory::map_mmio(PhysAddr(address), len) };
        let word = |index: usize| {
            // SAFETY: within the registers; reading these two changes nothing. Its driver would reset the
            // device when it is dropped, so this is looked at without one.
            unsafe { mapped.cast::<u32>().add(index).read_volatile() }
        };
        if word(0) != MAGIC {
            return None;
        }
        Some(Device {
            kind: DeviceType::try_from(word(DEVICE_ID)).ok()?,
            place: Place::Registers {
                address,
                header: NonNull::new(mapped.cast()).expect("the window of devices is not at 0"),
                len,
            },
        })
    }));
    found
}

/// Takes the first device of a kind.
pub fn take(devices: &mut Vec<Device>, kind: DeviceType) -> Option<Device> {
    let index = devices.iter().position(|device| device.kind == kind)?;
    Some(devices.remove(index))
}

impl Device {
    /// Makes the device ready for a driver; `None`, with a line in the log, if that cannot be.
    pub fn open(self) -> Option<SomeTransport<'static>> {
        let opened = match self.place {
            Place::Pci(function) => {
                pci::enable(function);
                PciTransport::new::<Machine, _>(&mut pci::root(), function)
                    .map(SomeTransport::from)
                    .map_err(|error| self.complain(&error))
            }
            // SAFETY: `collect` has mapped the registers for good, and this is the one driver.
            Place::Registers { header, len, .. } => unsafe { MmioTransport::new(header, len) }
                .map(SomeTransport::from)
                .map_err(|error| self.complain(&error)),
        };
        opened.ok()
    }

    fn complain(&self, error: &dyn fmt::Display) {
        log::warn!("kernel.drivers", "{self}: {error}");
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.place {
            Place::Pci(function) => write!(f, "virtio {:?} at {function}", self.kind),
            Place::Registers { address, .. } => {
                write!(f, "virtio {:?} at {address:#x}", self.kind)
            }
        }
    }
}
