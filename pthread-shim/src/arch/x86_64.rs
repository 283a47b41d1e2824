//! x86_64: thread-local data lies below the thread block, and FS holds the block's address.

use core::{arch::asm, ffi::c_void, mem::offset_of, ptr};

use linux_raw_sys::general::__NR_arch_prctl;

use super::Body;
use crate::{prim::Cell, sys};

/// `ARCH_SET_FS` of `arch_prctl(2)`.
const ARCH_SET_FS: usize = 0x1002;

/// musl's `struct pthread`.
#[repr(C)]
pub struct ThreadBlock {
    /// Its own address: `%fs:0` of the ABI.
    pub this: Cell<*const ThreadBlock>,
    /// Thread-local blocks by module, for `__tls_get_addr`.
    pub dtv: Cell<*mut usize>,
    /// The list of all threads.
    pub previous: Cell<*const ThreadBlock>,
    /// The list of all threads.
    pub next: Cell<*const ThreadBlock>,
    /// Unused by musl on this machine.
    pub sysinfo: Cell<usize>,
    /// The stack protector's value: `%fs:0x28` of the ABI.
    pub canary: Cell<usize>,
    /// The rest.
    pub body: Body,
}

const _: () = assert!(
    offset_of!(ThreadBlock, canary) == 40
        && offset_of!(ThreadBlock, body.tid) == 48
        && offset_of!(ThreadBlock, body.errno) == 52
        && offset_of!(ThreadBlock, body.keys) == 128
        && offset_of!(ThreadBlock, body.locale) == 168
        && offset_of!(ThreadBlock, body.stdio_locks) == 192
);

/// Returns what the thread pointer of `block`'s thread must hold.
pub fn thread_pointer_of(block: &ThreadBlock) -> *mut c_void {
    ptr::from_ref(block).cast_mut().cast()
}

/// Returns the calling thread's block.
#[inline]
pub fn current() -> *const ThreadBlock {
    let block;
    // SAFETY: musl sets FS up before the first call of this crate, and every thread starts
    // with it; the word at its base is the block's own address.
    unsafe {
        asm!("mov {}, fs:0", out(reg) block, options(nostack, preserves_flags, readonly, pure))
    };
    block
}

/// Sets the calling thread's thread pointer; see `arch_prctl(2)`. Returns 0 or a negated
/// error number.
pub fn set_thread_pointer(pointer: *mut c_void) -> i32 {
    sys::call_plain(__NR_arch_prctl, [ARCH_SET_FS, pointer.expose_provenance()])
        .map_or_else(|error| -error.code(), |_| 0)
}
