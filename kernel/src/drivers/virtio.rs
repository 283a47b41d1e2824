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
use crate::interrupts::Handler;
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
        interrupt: Option<u32>,
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
    found.extend(arch::virtio_registers().iter().filter_map(|place| {
        let (address, len) = (place.registers.start, place.registers.len() as usize);
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
                interrupt: place.interrupt,
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

/// The interrupt of a device, once its driver works.
pub enum Interrupt {
    /// A message (MSI-X), and the registers that say which queues raise it.
    Message(NonNull<CommonConfiguration>),
    /// The line of a function, which masks itself when it interrupts, and its number.
    Line(DeviceFunction, u32),
    /// The number of the line of a device that no bus lists; it masks itself too.
    OwnLine(u32),
}

// SAFETY: the registers are the driver's alone, and it has one owner.
unsafe impl Send for Interrupt {}

/// The beginning of the registers that all devices have (4.1.4.3).
#[repr(C)]
pub struct CommonConfiguration {
    features: [u32; 4],
    configuration_vector: u16,
    queues: u16,
    status: u8,
    generation: u8,
    queue: u16,
    queue_size: u16,
    queue_vector: u16,
}

impl Interrupt {
    /// Has a queue of the device raise it. To be called when the device has been set up.
    pub fn enable(&self, queue: u16) {
        match *self {
            Interrupt::Message(registers) => {
                // SAFETY: mapped for good by `Device::interrupt`; the only message has number 0.
                unsafe {
                    (&raw mut (*registers.as_ptr()).queue).write_volatile(queue);
                    (&raw mut (*registers.as_ptr()).queue_vector).write_volatile(0);
                }
            }
            Interrupt::Line(function, _) => pci::enable_line(function),
            // Nobody else uses it: it is let through from the start.
            Interrupt::OwnLine(_) => {}
        }
    }

    /// Lets it through again, when the device has been asked what it wanted.
    pub fn rearm(&self) {
        if let Interrupt::Line(_, number) | Interrupt::OwnLine(number) = *self {
            arch::irq::unmask(number);
        }
    }
}

impl Device {
    /// Finds the device an interrupt that calls `handler`; `None` if there is none. To be called before
    /// the device is opened, `enable` after.
    pub fn interrupt(&self, name: &'static str, handler: Handler) -> Option<Interrupt> {
        let function = match self.place {
            Place::Pci(function) => function,
            Place::Registers { interrupt, .. } => {
                let number = interrupt?;
                arch::irq::register_line(number, name, handler).ok()?;
                return Some(Interrupt::OwnLine(number));
            }
        };
        if let Ok(vector) = arch::irq::register_message(name, handler) {
            let (address, data) = arch::irq::message(vector);
            let registers = common_configuration(function)?;
            if pci::set_message(function, address, data) {
                return Some(Interrupt::Message(registers));
            }
            arch::irq::free(vector.into());
        }
        let place = (function.bus, function.device);
        let pin = pci::interrupt_pin(function)?;
        let number = arch::irq::register_pci_line(place, pin, name, handler).ok()?;
        Some(Interrupt::Line(function, number))
    }

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

/// Maps the common registers of a device on PCI, which a capability tells of (4.1.4).
fn common_configuration(function: DeviceFunction) -> Option<NonNull<CommonConfiguration>> {
    const VENDOR: u8 = 9;
    /// The kind of the capability, in its first word.
    const COMMON: u32 = 1 << 24;
    const KIND: u32 = 0xff << 24;
    let offset = pci::capabilities(function)
        .find(|&(id, offset)| id == VENDOR && pci::read(function, offset) & KIND == COMMON)?
        .1;
    let bar = pci::read(function, offset + 4) as u8;
    let start = pci::bar_address(function, bar)? + u64::from(pci::read(function, offset + 8));
    // SAFETY: the device says that its registers are there, and each device has one driver.
    let mapped = unsafe { memory::map_mmio(PhysAddr(start), size_of::<CommonConfiguration>()) };
    NonNull::new(mapped.cast())
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
