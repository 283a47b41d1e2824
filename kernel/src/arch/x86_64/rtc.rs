//! The real-time clock in CMOS memory, read once at boot; UTC.

use x86_64::instructions::port::Port;

use super::{acpi, cpu};
use crate::boot::RtcFields;

const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATE_IN_PROGRESS: u8 = 0x80;
/// Keeps NMIs as they are: the top bit of the index port masks them.
const INDEX_PORT: u16 = 0x70;
const DATA_PORT: u16 = 0x71;
/// Readings before giving up on a clock that never holds still.
const ATTEMPTS: usize = 1000;

fn read_register(index: u8) -> u8 {
    // SAFETY: selects a CMOS register and reads it; interrupts are off and no
    // other CPU runs yet.
    unsafe {
        Port::<u8>::new(INDEX_PORT).write(index);
        Port::<u8>::new(DATA_PORT).read()
    }
}

fn read_fields() -> RtcFields {
    RtcFields {
        seconds: read_register(0),
        minutes: read_register(2),
        hours: read_register(4),
        day: read_register(7),
        month: read_register(8),
        year: read_register(9),
        century: acpi::machine().rtc_century.map(read_register),
        status_b: read_register(STATUS_B),
    }
}

/// Reads the clock: seconds since 1970 (UTC); `None` if there is no sensible one.
pub fn read() -> Option<i64> {
    cpu::without_interrupts(|| {
        // Two equal readings outside an update: an update takes 2 ms, once a second.
        let mut last = None;
        for _ in 0..ATTEMPTS {
            if read_register(STATUS_A) & UPDATE_IN_PROGRESS != 0 {
                last = None;
                continue;
            }
            let fields = Some(read_fields());
            if fields == last {
                return fields.and_then(|fields| fields.to_unix_seconds());
            }
            last = fields;
        }
        None
    })
}
