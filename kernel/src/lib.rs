//! The kernel: boots the machine, owns it, and gives CPython the calls it needs.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod arch;
pub mod boot;
pub mod cmdline;
pub mod log;
mod log_ring;
pub mod memory;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod report;
#[cfg(target_os = "none")]
mod self_test;
#[cfg(target_os = "none")]
pub mod start;
pub mod symbols;
