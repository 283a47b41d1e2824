//! Atomics and host threads, taken from loom when it checks interleavings.
//!
//! Everything in this crate that two CPUs race for goes through here, so a loom model
//! runs the code that ships.

#[cfg(loom)]
pub(crate) use crate::loom_atomics::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{Ordering, fence};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(all(not(loom), not(target_os = "none")))]
pub(crate) use std::{sync::mpsc, thread};

#[cfg(loom)]
pub(crate) use loom::{sync::mpsc, thread};

/// A function that is `const` except under loom, whose types register themselves when made.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])* $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])* $vis fn $($rest)*
    };
}
pub(crate) use const_unless_loom;

/// A static, made anew for each execution of a loom model.
#[cfg(not(loom))]
macro_rules! global {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$meta])* static $name: $type = $value;
    };
}
#[cfg(loom)]
macro_rules! global {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;) => {
        loom::lazy_static! { $(#[$meta])* static ref $name: $type = $value; }
    };
}
pub(crate) use global;
