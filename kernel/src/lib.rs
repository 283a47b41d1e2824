//! The kernel: boots the machine, owns it, and gives CPython the calls it needs.
#![cfg_attr(not(test), no_std)]

extern crate alloc;
