//! Devices beyond those that every machine of an architecture has.

#[cfg(target_os = "none")]
mod dma;
#[cfg(target_os = "none")]
mod entropy;
#[cfg(target_os = "none")]
mod network;
#[cfg(target_os = "none")]
mod pci;
#[cfg(any(test, target_os = "none"))]
mod pci_setup;
#[cfg(target_os = "none")]
mod virtio;

#[cfg(target_os = "none")]
pub use pci_setup::Windows as PciWindows;

/// Finds the machine's devices and starts their drivers.
#[cfg(target_os = "none")]
pub fn init() {
    use virtio_drivers::transport::DeviceType;

    pci::init();
    let mut devices = virtio::collect();
    if let Some(device) = virtio::take(&mut devices, DeviceType::EntropySource) {
        entropy::start(device);
    }
    while let Some(device) = virtio::take(&mut devices, DeviceType::Network) {
        network::start(device);
    }
}
