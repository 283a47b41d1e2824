//! What differs between machines: where the thread pointer is and points, and the order of
//! the fields of musl's `struct pthread`, whose two ends are ABI.
//!
//! Each folder's file gives `ThreadBlock` with musl's offsets, `thread_pointer_of`,
//! `current` and `set_thread_pointer`.

use core::ffi::{c_int, c_void};

use crate::{
    lifecycle::Lifecycle,
    mutex::HeldRobust,
    prim::{AtomicU32, Cell},
};

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod machine;

pub use machine::{ThreadBlock, current, set_thread_pointer, thread_pointer_of};

/// A cleanup handler on its thread's list: `struct __ptcb` of musl's `<pthread.h>`.
#[repr(C)]
pub struct Cleanup {
    /// What to call.
    pub routine: Option<unsafe extern "C" fn(*mut c_void)>,
    /// With what.
    pub argument: *mut c_void,
    /// The handler pushed before this one.
    pub next: *mut Cleanup,
}

/// The part of musl's `struct pthread` that is the same on every machine, in musl's order.
///
/// musl's own C reads and writes some of it (`tid`, `errno`, `locale`, `stdio_locks`,
/// the `cancel` fields, `timer_id`), so the order is part of the contract.
#[repr(C)]
pub struct Body {
    /// The thread's id for the kernel, which clears it at the very end.
    pub tid: AtomicU32,
    /// What `errno` names.
    pub errno: Cell<c_int>,
    /// Whether it can be joined, and whether it still takes signals.
    pub lifecycle: Lifecycle,
    /// Set by `pthread_cancel`.
    pub cancel: AtomicU32,
    /// `PTHREAD_CANCEL_ENABLE` or `_DISABLE`. Read by the signal handler on the thread itself.
    pub cancel_state: core::sync::atomic::AtomicU8,
    /// Bit 0: `PTHREAD_CANCEL_ASYNCHRONOUS`. Bit 1: inside a cancellation point.
    pub cancel_type: core::sync::atomic::AtomicU8,
    /// musl's two flag bits.
    pub flags: Cell<u8>,
    /// The mapping that holds stack and thread block; null for the first thread.
    pub map_base: Cell<*mut u8>,
    /// Its length.
    pub map_size: Cell<usize>,
    /// The upper end of the stack; null for the first thread.
    pub stack_top: Cell<*mut u8>,
    /// The length of the stack, without guard.
    pub stack_size: Cell<usize>,
    /// The length of the guard below it.
    pub guard_size: Cell<usize>,
    /// What the thread returned.
    pub result: Cell<*mut c_void>,
    /// The cleanup handlers, newest first.
    pub cleanups: Cell<*mut Cleanup>,
    /// The values of the thread's keys.
    pub keys: Cell<*const super::c_abi::keys::Values>,
    /// The robust mutexes it holds.
    pub robust: HeldRobust,
    _robust_offset: isize,
    _robust_pending: Cell<*mut c_void>,
    /// What `h_errno` names.
    pub h_errno: Cell<c_int>,
    /// musl's timer threads keep their timer here.
    pub timer_id: Cell<c_int>,
    /// The thread's locale, never null.
    pub locale: Cell<*const c_void>,
    /// Held while the thread's id is used to reach it.
    pub kill_lock: AtomicU32,
    /// musl's `dlerror` message.
    pub dlerror: Cell<*mut c_void>,
    /// The streams it has locked.
    pub stdio_locks: Cell<*mut c_void>,
}

// SAFETY: every field that other threads reach is atomic, or is touched by them only
// before the thread starts, after it has ended, or (`next`, `previous` of the block) under
// the thread-list lock.
unsafe impl Sync for ThreadBlock {}

const _: () = assert!(
    size_of::<Body>() == 152 && size_of::<ThreadBlock>() == 200,
    "musl's struct pthread"
);
