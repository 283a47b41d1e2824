//! aarch64: thread-local data lies above the thread block, and TPIDR_EL0 points behind it.

use core::{arch::asm, ffi::c_void, mem::offset_of, ptr};

use super::Body;
use crate::prim::Cell;

/// musl's `struct pthread`.
#[repr(C)]
pub struct ThreadBlock {
    /// Its own address.
    pub this: Cell<*const ThreadBlock>,
    /// The list of all threads.
    pub previous: Cell<*const ThreadBlock>,
    /// The list of all threads.
    pub next: Cell<*const ThreadBlock>,
    /// Unused by musl on this machine.
    pub sysinfo: Cell<usize>,
    /// The rest.
    pub body: Body,
    /// The stack protector's value.
    pub canary: Cell<usize>,
    /// Thread-local blocks by module, for `__tls_get_addr` and TLS descriptors.
    pub dtv: Cell<*mut usize>,
}

const _: () = assert!(
    offset_of!(ThreadBlock, body.tid) == 32
        && offset_of!(ThreadBlock, body.errno) == 36
        && offset_of!(ThreadBlock, body.keys) == 112
        && offset_of!(ThreadBlock, body.locale) == 152
        && offset_of!(ThreadBlock, body.stdio_locks) == 176
        && offset_of!(ThreadBlock, canary) == 184
        && offset_of!(ThreadBlock, dtv) == 192
);

/// Returns what the thread pointer of `block`'s thread must hold.
pub fn thread_pointer_of(block: &ThreadBlock) -> *mut c_void {
    ptr::from_ref(block).wrapping_add(1).cast_mut().cast()
}

/// Returns the calling thread's block.
#[inline]
pub fn current() -> *const ThreadBlock {
    let pointer: *const ThreadBlock;
    // SAFETY: reading the register has no effect. musl sets it before the first call of
    // this crate, and every thread starts with it.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags, pure))
    };
    pointer.wrapping_sub(1)
}

/// Sets the calling thread's thread pointer. Returns 0.
pub fn set_thread_pointer(pointer: *mut c_void) -> i32 {
    // SAFETY: the register belongs to C, which asks for this while it sets up a thread.
    unsafe { asm!("msr tpidr_el0, {}", in(reg) pointer, options(nostack, preserves_flags)) };
    0
}
