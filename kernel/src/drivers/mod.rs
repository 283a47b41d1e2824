//! Devices beyond those that every machine of an architecture has.

#[cfg(target_os = "none")]
mod dma;
mod entropy;
#[cfg(target_os = "none")]
mod pci;

pub use entropy::init;
