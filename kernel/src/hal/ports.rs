//! I/O ports.

use super::call::Call;
use super::object::{self, Error, Result};
use crate::arch::ports;
use crate::libc::errno::Errno;

/// The last port that an access of so many bytes can begin at.
fn port(call: &Call, width: usize) -> Result<u16> {
    let port = call.int(0, (0x1_0000 - width) as u64)? as u16;
    if ports::HAS_PORTS {
        Ok(port)
    } else {
        Err(Error::Os(
            Errno::EOPNOTSUPP,
            c"this architecture has no I/O ports",
        ))
    }
}

fn read(call: &Call, width: usize) -> Result {
    let port = port(call, width)?;
    // SAFETY: Python drives the device.
    object::int(unsafe { ports::read(port, width) }.into())
}

fn write(call: &Call, width: usize) -> Result {
    let value = call.int(1, u64::from(u32::MAX) >> (32 - 8 * width))?;
    let port = port(call, width)?;
    // SAFETY: Python drives the device.
    unsafe { ports::write(port, width, value as u32) };
    object::none()
}

/// `inb(port)`.
pub fn inb(call: &Call) -> Result {
    read(call, 1)
}

/// `inw(port)`.
pub fn inw(call: &Call) -> Result {
    read(call, 2)
}

/// `inl(port)`.
pub fn inl(call: &Call) -> Result {
    read(call, 4)
}

/// `outb(port, value)`.
pub fn outb(call: &Call) -> Result {
    write(call, 1)
}

/// `outw(port, value)`.
pub fn outw(call: &Call) -> Result {
    write(call, 2)
}

/// `outl(port, value)`.
pub fn outl(call: &Call) -> Result {
    write(call, 4)
}
