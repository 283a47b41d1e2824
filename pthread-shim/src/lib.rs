//! POSIX threads for musl's headers, in Rust, on `futex(2)`: the same code on the bare
//! machine and, in hosted mode, in a Linux program.
//!
//! - The modules here hold the waiting logic. They know C's sizes, but not C; loom tries
//!   their interleavings.
//! - `c_abi` is the edge: the functions of `<pthread.h>`, `<semaphore.h>`, `<threads.h>` and
//!   those that musl's own sources call, under their C names. It exists on bare-metal
//!   targets only, since a host program has a C library with the same names.

#![cfg_attr(not(any(test, loom)), no_std)]

#[cfg(target_os = "none")]
mod arch;
pub mod barrier;
#[cfg(target_os = "none")]
pub mod c_abi;
pub mod condvar;
pub mod error;
#[cfg(not(loom))]
pub mod futex;
#[cfg(loom)]
#[path = "futex_model.rs"]
pub mod futex;
pub mod lifecycle;
pub mod lock;
pub mod mutex;
pub mod once;
pub mod prim;
pub mod rwlock;
pub mod semaphore;
#[cfg(not(loom))]
pub mod sys;
pub mod time;

/// The size of musl's `struct pthread`.
#[cfg(target_os = "none")]
pub const THREAD_BLOCK_SIZE: usize = size_of::<arch::ThreadBlock>();

#[cfg(all(test, not(loom)))]
mod host;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
