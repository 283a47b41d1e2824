//! I/O ports, for whoever drives a device from Python.

use x86_64::instructions::port::Port;

/// This machine has I/O ports.
pub const HAS_PORTS: bool = true;

/// Reads one, two or four bytes from a port.
///
/// # Safety
///
/// The caller drives the device that answers there.
pub unsafe fn read(port: u16, width: usize) -> u32 {
    // SAFETY: the caller's contract.
    unsafe {
        match width {
            1 => Port::<u8>::new(port).read().into(),
            2 => Port::<u16>::new(port).read().into(),
            _ => Port::<u32>::new(port).read(),
        }
    }
}

/// Writes one, two or four bytes to a port.
///
/// # Safety
///
/// As for [`read`].
pub unsafe fn write(port: u16, width: usize, value: u32) {
    // SAFETY: the caller's contract.
    unsafe {
        match width {
            1 => Port::<u8>::new(port).write(value as u8),
            2 => Port::<u16>::new(port).write(value as u16),
            _ => Port::<u32>::new(port).write(value),
        }
    }
}
