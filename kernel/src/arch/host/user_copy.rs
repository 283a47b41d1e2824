//! On the host C's memory is the process's own: copies are plain ones.

use crate::memory::user::Fault;
use core::sync::atomic::{AtomicU32, Ordering};

/// One past the highest address that C can use.
pub const END_OF_C: usize = 0x8000_0000_0000;

/// Copies bytes, one side of which is C's memory.
///
/// # Safety
///
/// Both sides are valid for `len` bytes.
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), Fault> {
    // SAFETY: the caller's contract; `copy` allows overlap.
    unsafe { core::ptr::copy(from, to, len) };
    Ok(())
}

/// Reads a word of C's memory.
///
/// # Safety
///
/// `word` is valid and aligned.
pub unsafe fn load_u32(word: *const u32) -> Result<u32, Fault> {
    // SAFETY: the caller's contract.
    Ok(unsafe { AtomicU32::from_ptr(word.cast_mut()) }.load(Ordering::Acquire))
}

/// Replaces a word of C's memory if it is `current`; returns what was there.
///
/// # Safety
///
/// `word` is valid and aligned.
pub unsafe fn compare_exchange_u32(word: *mut u32, current: u32, new: u32) -> Result<u32, Fault> {
    // SAFETY: the caller's contract.
    let word = unsafe { AtomicU32::from_ptr(word) };
    Ok(word
        .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
        .unwrap_or_else(|seen| seen))
}

/// No instruction needs fixing up on the host.
pub fn fixup(_address: usize) -> Option<usize> {
    None
}
