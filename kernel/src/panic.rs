//! What a Rust panic does: a fault report, then the configured end.

use core::panic::PanicInfo;

use crate::report::{self, Fault};

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let message = info.message();
    match info.location() {
        Some(place) => report::fatal(&Fault {
            title: "kernel panic",
            details: format_args!("{message} ({place})"),
            registers: None,
        }),
        None => report::fatal(&Fault {
            title: "kernel panic",
            details: format_args!("{message}"),
            registers: None,
        }),
    }
}
