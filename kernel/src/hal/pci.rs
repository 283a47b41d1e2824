//! PCI configuration space.

use super::call::Call;
use super::enter::enter;
use super::object::{self, Error, Result};
use crate::arch::pci;
use crate::libc::errno::Errno;

/// A place in configuration space.
struct Register {
    bus: u8,
    device: u8,
    function: u8,
    offset: u16,
    width: usize,
}

/// Reads the arguments `bus, device, function, offset, width`.
fn register(call: &Call) -> Result<Register> {
    let register = Register {
        bus: call.int(0, 255)? as u8,
        device: call.int(1, 31)? as u8,
        function: call.int(2, 7)? as u8,
        offset: call.int(3, 4095)? as u16,
        width: call.int(4, 4)? as usize,
    };
    if !matches!(register.width, 1 | 2 | 4) {
        return Err(Error::Value(c"the width is 1, 2 or 4 bytes"));
    }
    if !usize::from(register.offset).is_multiple_of(register.width) {
        return Err(Error::Value(c"the offset is not aligned"));
    }
    if usize::from(register.offset) >= pci::configuration_size() {
        return Err(Error::Os(
            Errno::ENXIO,
            c"this machine shows 256 bytes of configuration space",
        ));
    }
    Ok(register)
}

/// `pci_config_read(bus, device, function, offset, width)`.
pub fn read(call: &Call) -> Result {
    let Register {
        bus,
        device,
        function,
        offset,
        width,
    } = register(call)?;
    object::int(enter(|| pci::read_register(bus, device, function, offset, width)).into())
}

/// `pci_config_write(bus, device, function, offset, width, value)`.
pub fn write(call: &Call) -> Result {
    let Register {
        bus,
        device,
        function,
        offset,
        width,
    } = register(call)?;
    let value = call.int(5, u64::from(u32::MAX) >> (32 - 8 * width))? as u32;
    enter(|| pci::write_register(bus, device, function, offset, width, value));
    object::none()
}

/// The buses that one host bridge leads to.
#[derive(Clone, Copy, Debug)]
pub struct PciSegment {
    /// The first bus.
    pub first_bus: u8,
    /// The last bus.
    pub last_bus: u8,
    /// The physical address of configuration space (ECAM), where it lies in memory.
    pub memory: Option<u64>,
}

/// `pci_segments()`.
pub fn segments(_: &Call) -> Result {
    object::list(enter(pci::segment), |segment| {
        object::tuple([
            object::int(0),
            object::int(segment.first_bus.into()),
            object::int(segment.last_bus.into()),
            match segment.memory {
                Some(start) => object::int(start),
                None => object::none(),
            },
        ])
    })
}
