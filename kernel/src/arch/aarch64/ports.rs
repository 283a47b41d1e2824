//! I/O ports, which this architecture does not have.

/// This machine has none: `read` and `write` are not called.
pub const HAS_PORTS: bool = false;

/// There is nothing to read.
///
/// # Safety
///
/// None: it is unsafe where there are ports.
pub unsafe fn read(_port: u16, _width: usize) -> u32 {
    u32::MAX
}

/// There is nothing to write.
///
/// # Safety
///
/// As for [`read`].
pub unsafe fn write(_port: u16, _width: usize, _value: u32) {}
