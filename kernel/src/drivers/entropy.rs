//! The virtio entropy device (Virtual I/O Device specification 1.2, section 5.4): the host's random
//! numbers for the kernel's pool.

/// Looks for the device and has a thread of its own feed the pool from it: at once, then every few
/// minutes.
pub fn init() {
    #[cfg(target_os = "none")]
    device::start();
}

#[cfg(target_os = "none")]
mod device {
    use alloc::boxed::Box;

    use smp::SpinLock;
    use virtio_drivers::device::rng::VirtIORng;
    use virtio_drivers::transport::DeviceType;
    use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};

    use super::super::dma::Machine;
    use super::super::pci;
    use crate::libc::random;
    use crate::libc::time::{NS_PER_SEC, monotonic_ns};
    use crate::{kernel_thread, log};

    type Rng = VirtIORng<Machine, PciTransport>;

    /// Twice what the pool's key holds.
    const REQUEST: usize = 64;

    const INTERVAL_NS: u64 = 300 * NS_PER_SEC;

    /// On its way to the thread.
    static FOUND: SpinLock<Option<Rng>> = SpinLock::new(None);

    pub fn start() {
        let Some(rng) = find() else { return };
        log::info!("kernel.drivers", "virtio entropy device found");
        *FOUND.lock() = Some(rng);
        if kernel_thread::spawn("entropy", run, 0).is_none() {
            log::warn!(
                "kernel.drivers",
                "no memory for the entropy device's thread"
            );
        }
    }

    fn find() -> Option<Rng> {
        let (function, _) = pci::collect_functions()
            .into_iter()
            .find(|(_, info)| virtio_device_type(info) == Some(DeviceType::EntropySource))?;
        pci::enable(function);
        let made = PciTransport::new::<Machine, _>(&mut pci::root(), function)
            .map_err(|error| log::warn!("kernel.drivers", "virtio entropy at {function}: {error}"))
            .ok()?;
        VirtIORng::new(made)
            .map_err(|error| log::warn!("kernel.drivers", "virtio entropy at {function}: {error}"))
            .ok()
    }

    extern "C" fn run(_: usize) -> ! {
        let found = FOUND.lock().take();
        if let Some(rng) = found {
            feed(rng);
        }
        smp::exit_current()
    }

    /// Feeds the pool until the device fails.
    fn feed(mut rng: Rng) {
        // On the heap: the device writes there whatever becomes of this stack frame.
        let mut bytes = Box::new([0u8; REQUEST]);
        loop {
            match rng.request_entropy(&mut bytes[..]) {
                Ok(count) => random::mix(&bytes[..count.min(REQUEST)]),
                Err(error) => {
                    log::warn!("kernel.drivers", "the virtio entropy device fails: {error}");
                    return;
                }
            }
            smp::sleep_until(monotonic_ns() + INTERVAL_NS, false);
        }
    }
}
