//! The calls that C makes of the kernel, by Linux number and with Linux's meaning.

pub mod dispatch;
pub mod errno;
pub mod names;
