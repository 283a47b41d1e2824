//! The calls that C makes of the kernel, by Linux number and with Linux's meaning.

mod args;
pub mod credentials;
pub mod descriptors;
pub mod dispatch;
pub mod epoll;
pub mod errno;
mod fault;
pub mod files;
pub mod futex;
#[cfg(test)]
mod host_comparison;
pub mod limits;
pub mod mman;
pub mod names;
pub mod open;
pub mod paths;
pub mod poll;
pub mod random;
pub mod sched;
pub mod signal;
pub mod sockets;
pub mod status;
pub mod system;
pub mod thread;
pub mod time;
pub mod transfer;
pub mod xattrs;
