//! The virtio entropy device (Virtual I/O Device specification 1.2, section 5.4): the host's random
//! numbers for the kernel's pool.

use alloc::boxed::Box;
use alloc::string::String;

use smp::SpinLock;
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::SomeTransport;

use super::dma::Machine;
use super::virtio::Device;
use crate::libc::random;
use crate::libc::time::{NS_PER_SEC, monotonic_ns};
use crate::{kernel_thread, log};

type Rng = VirtIORng<Machine, SomeTransport<'static>>;

/// Twice what the pool's key holds.
const REQUEST: usize = 64;

const INTERVAL_NS: u64 = 300 * NS_PER_SEC;

/// On its way to the thread.
static FOUND: SpinLock<Option<(String, Rng)>> = SpinLock::new(None);

/// Has a thread of its own feed the pool from the device: at once, then every few minutes.
pub fn start(device: Device) {
    let name = alloc::format!("{device}");
    let Some(transport) = device.open() else {
        return;
    };
    let rng = match VirtIORng::new(transport) {
        Ok(rng) => rng,
        Err(error) => {
            log::warn!("kernel.drivers", "{name}: {error}");
            return;
        }
    };
    *FOUND.lock() = Some((name, rng));
    if kernel_thread::spawn("entropy", run, 0).is_none() {
        log::warn!(
            "kernel.drivers",
            "no memory for the entropy device's thread"
        );
    }
}

extern "C" fn run(_: usize) -> ! {
    let found = FOUND.lock().take();
    if let Some((name, rng)) = found {
        feed(&name, rng);
    }
    smp::exit_current()
}

/// Feeds the pool until the device fails.
fn feed(name: &str, mut rng: Rng) {
    // On the heap: the device writes there whatever becomes of this stack frame.
    let mut bytes = Box::new([0u8; REQUEST]);
    let mut is_first = true;
    loop {
        match rng.request_entropy(&mut bytes[..]) {
            Ok(count) => {
                random::mix(&bytes[..count.min(REQUEST)]);
                if is_first {
                    log::info!("kernel.drivers", "{name} feeds the entropy pool");
                }
                is_first = false;
            }
            Err(error) => {
                log::warn!("kernel.drivers", "{name} fails: {error}");
                return;
            }
        }
        smp::sleep_until(monotonic_ns() + INTERVAL_NS, false);
    }
}
