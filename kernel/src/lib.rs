//! The kernel: boots the machine, owns it, and gives CPython the calls it needs.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;
// Its C functions are for CPython and musl; the kernel itself calls none.
#[cfg(target_os = "none")]
use pthread_shim as _;

pub mod arch;
pub mod boot;
pub mod cmdline;
pub mod console;
pub mod drivers;
pub mod fs;
#[cfg(target_os = "none")]
pub mod hal;
#[cfg(any(test, target_os = "none"))]
mod initial_stack;
#[cfg(target_os = "none")]
pub mod interrupts;
pub mod kernel_thread;
pub mod libc;
pub mod log;
mod log_ring;
pub mod memory;
pub mod net;
#[cfg(target_os = "none")]
mod panic;
pub mod power;
pub mod process;
pub mod provoke;
pub mod python;
#[cfg(target_os = "none")]
pub mod report;
#[cfg(target_os = "none")]
mod self_test;
#[cfg(target_os = "none")]
pub mod start;
#[cfg(any(test, target_os = "none"))]
mod symbols;
