//! The PL031 real-time clock, read once at boot; UTC.

use super::device_tree;
use crate::memory::{self, PhysAddr};

/// Reads the clock: seconds since 1970 (UTC); `None` if there is none.
pub fn read() -> Option<i64> {
    let registers = device_tree::machine().rtc?;
    // SAFETY: the device tree says that the registers are there; the first is the data register, a
    // word (PL031 3.3.1), and reading it changes nothing.
    let seconds = unsafe {
        memory::map_mmio(PhysAddr(registers.start), size_of::<u32>())
            .cast::<u32>()
            .read_volatile()
    };
    (seconds != 0).then_some(seconds.into())
}
