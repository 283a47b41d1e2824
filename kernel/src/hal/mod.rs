//! `_hal`: the machine, as Python sees it. A built-in module in Rust over CPython's C API.
//!
//! Whatever is passed to a function here, the machine goes on: a wrong type is a `TypeError`, a number out
//! of range a `ValueError`, an address where nothing is an `OSError`. Right arguments may still do harm, for
//! Python is the kernel: who writes to a device's registers drives that device.
//!
//! The functions run on C's stack, attached to the interpreter; [`enter`] takes them into the kernel. They
//! share no data of Python's, so the module needs no GIL; who locks the kernel's data is said there.

mod buffers;
mod call;
mod console;
mod counters;
mod dma;
pub mod enter;
mod frames;
mod interrupts;
mod mmio;
mod module;
mod network;
mod object;
mod pages;
mod pci;
mod ports;
mod registers;
mod self_test;

pub use module::register;
pub use pci::PciSegment;
