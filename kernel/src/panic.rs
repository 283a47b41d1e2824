//! What a Rust panic does: a fault report, then the configured end.

use core::panic::PanicInfo;

use crate::{arch, log};

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    log::error!("kernel.panic", "{info}");
    arch::halt_forever()
}
