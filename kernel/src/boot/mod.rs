//! What the boot loader tells, in one form for every boot protocol.

mod info;
#[cfg(target_os = "none")]
mod multiboot2;
#[cfg(target_os = "none")]
mod pvh;
mod ranges;
mod rtc_fields;
mod sleep_package;

pub use info::{BootInfo, Framebuffer, MemoryKind, MemoryRegion};
pub use ranges::{PhysRange, RangeList};
pub use rtc_fields::RtcFields;
pub use sleep_package::{SleepTypes, find_soft_off};

#[cfg(target_os = "none")]
pub use read::read;

#[cfg(target_os = "none")]
mod read {
    use super::{BootInfo, multiboot2, pvh};
    use crate::arch::entry::Protocol;

    /// Reads what the boot loader left at physical address `info`.
    ///
    /// # Safety
    ///
    /// `info` is what `protocol` hands over, and is still mapped 1:1.
    pub unsafe fn read(protocol: Protocol, info: u64) -> BootInfo {
        match protocol {
            // SAFETY: the caller's contract.
            Protocol::Pvh => unsafe { pvh::read(info) },
            // SAFETY: the caller's contract.
            Protocol::Multiboot2 => unsafe { multiboot2::read(info) },
        }
    }
}
