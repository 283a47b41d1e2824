//! What the boot loader tells, in one form for every boot protocol.

mod info;
mod ranges;
mod rtc_fields;
mod sleep_package;

pub use info::{BootInfo, Framebuffer, MemoryKind, MemoryRegion};
pub use ranges::{PhysRange, RangeList, VirtioPlace};
pub use rtc_fields::RtcFields;
pub use sleep_package::{SleepTypes, find_soft_off};
