//! How the kernel touches C's memory: by copies that survive a page fault.
//!
//! An address that C passes may be wrong, or its page may vanish at any time. Only the functions
//! here touch it; a fault they cannot resolve comes back as [`Fault`], which C sees as `EFAULT`.
//! No spin lock may be held around them, and not the address space's: they may page-fault.

use crate::arch::user_copy;
use alloc::vec::Vec;
use core::mem::{MaybeUninit, size_of};
use core::sync::atomic::{AtomicU8, Ordering};

/// The address, or part of the range, is not C's to use that way (`EFAULT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Why a string cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringError {
    /// It runs into memory that is not there (`EFAULT`).
    Fault,
    /// It has no end within the limit (`ENAMETOOLONG` for a path).
    TooLong,
}

/// Bytes of stack that kernel code on C's stack uses while it holds spin locks, with room to spare.
const LOCKED_STACK: usize = 4096;

/// Has the page that the stack grows into next there, writable, for kernel code that is about to take spin locks
/// on C's stack: a page fault under one would wait for the address space, whose holder may wait for a CPU
/// that spins for that lock.
pub fn touch_stack() {
    let here = MaybeUninit::<u8>::uninit();
    let below = here.as_ptr().addr() - LOCKED_STACK;
    // SAFETY: C's stack goes on there, or its guard page ends it, which is a fault of C's. If it is an alternate
    // stack that is too small for this kernel, the byte is another's, and keeps its value.
    let byte = unsafe { AtomicU8::from_ptr(core::ptr::with_exposed_provenance_mut(below)) };
    // An exchange for itself is a write, which a page that is there to be read alone does not take.
    let value = byte.load(Ordering::Relaxed);
    let _ = byte.compare_exchange(value, value, Ordering::Relaxed, Ordering::Relaxed);
}

/// Types that C may fill with any bytes.
///
/// # Safety
///
/// Every bit pattern is a value of the type. A type with padding is written to C only if it was
/// made from zeroed memory, so that no stale kernel bytes leave.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty)*) => {
        $(
            // SAFETY: an integer has no padding and no invalid value.
            unsafe impl Plain for $type {}
        )*
    };
}
plain!(u8 i8 u16 i16 u32 i32 u64 i64 usize isize u128 i128);
// SAFETY: arrays add no padding between elements.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Fails unless the range lies in the half of the address space that C uses.
fn check(address: usize, len: usize) -> Result<(), Fault> {
    match address.checked_add(len) {
        Some(end) if end <= user_copy::END_OF_C && address != 0 => Ok(()),
        _ if len == 0 => Ok(()),
        _ => Err(Fault),
    }
}

/// Copies `to.len()` bytes from C's memory.
///
/// After an error the content of `to` is unspecified.
pub fn copy_from_user(to: &mut [u8], from: usize) -> Result<(), Fault> {
    check(from, to.len())?;
    // SAFETY: `to` is ours to write; `from` is C's, as `check` saw, and may fault.
    unsafe {
        user_copy::copy(
            to.as_mut_ptr(),
            core::ptr::with_exposed_provenance(from),
            to.len(),
        )
    }
}

/// Copies `from` into C's memory.
///
/// After an error part of it may have been written.
pub fn copy_to_user(to: usize, from: &[u8]) -> Result<(), Fault> {
    check(to, from.len())?;
    // SAFETY: `from` is ours to read; `to` is C's, as `check` saw, and may fault.
    unsafe {
        user_copy::copy(
            core::ptr::with_exposed_provenance_mut(to),
            from.as_ptr(),
            from.len(),
        )
    }
}

/// Writes `len` zero bytes into C's memory.
pub fn zero_user(to: usize, len: usize) -> Result<(), Fault> {
    check(to, len)?;
    static ZEROS: [u8; 1024] = [0; 1024];
    let mut done = 0;
    while done < len {
        let step = (len - done).min(ZEROS.len());
        copy_to_user(to + done, &ZEROS[..step])?;
        done += step;
    }
    Ok(())
}

/// Reads a value from C's memory; any alignment will do.
pub fn read_user<T: Plain>(from: usize) -> Result<T, Fault> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the bytes are `value`'s, initialised above.
    let bytes =
        unsafe { core::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
    copy_from_user(bytes, from)?;
    // SAFETY: all bytes are initialised, and `T: Plain` takes any.
    Ok(unsafe { value.assume_init() })
}

/// Writes a value to C's memory; any alignment will do.
pub fn write_user<T: Plain>(to: usize, value: &T) -> Result<(), Fault> {
    check(to, size_of::<T>())?;
    // SAFETY: `value` is ours to read, byte by byte; `to` is C's, as `check` saw, and may fault.
    unsafe {
        user_copy::copy(
            core::ptr::with_exposed_provenance_mut(to),
            core::ptr::from_ref(value).cast(),
            size_of::<T>(),
        )
    }
}

/// Reads a string up to its NUL, which is left out; at most `limit` bytes without it.
pub fn read_user_string(from: usize, limit: usize) -> Result<Vec<u8>, StringError> {
    let mut string = Vec::new();
    let mut chunk = [0u8; 256];
    loop {
        let address = from.checked_add(string.len()).ok_or(StringError::Fault)?;
        // Never across a page: the string may end right before one that is not there.
        let to_page_end = super::PAGE_SIZE - address % super::PAGE_SIZE;
        let len = chunk.len().min(to_page_end);
        copy_from_user(&mut chunk[..len], address).map_err(|Fault| StringError::Fault)?;
        let end = chunk[..len].iter().position(|&byte| byte == 0);
        string.extend_from_slice(&chunk[..end.unwrap_or(len)]);
        if string.len() > limit {
            return Err(StringError::TooLong);
        }
        if end.is_some() {
            return Ok(string);
        }
    }
}

/// Fails unless `address` is C's and aligned for a futex word.
fn check_word(address: usize) -> Result<*mut u32, Fault> {
    check(address, size_of::<u32>())?;
    let is_aligned = address.is_multiple_of(size_of::<u32>());
    is_aligned
        .then(|| core::ptr::with_exposed_provenance_mut(address))
        .ok_or(Fault)
}

/// Reads an aligned word of C's memory, indivisibly and with acquire order.
pub fn load_user_u32(address: usize) -> Result<u32, Fault> {
    let word = check_word(address)?;
    // SAFETY: the word is C's, as `check_word` saw, and may fault.
    unsafe { user_copy::load_u32(word) }
}

/// Writes an aligned word of C's memory, indivisibly and with release order.
pub fn store_user_u32(address: usize, value: u32) -> Result<(), Fault> {
    let mut seen = load_user_u32(address)?;
    loop {
        match compare_exchange_user_u32(address, seen, value)? {
            Ok(_) => return Ok(()),
            Err(now) => seen = now,
        }
    }
}

/// Replaces an aligned word of C's memory if it is `current`; gives the word that was seen,
/// as `Ok` if it was replaced.
pub fn compare_exchange_user_u32(
    address: usize,
    current: u32,
    new: u32,
) -> Result<Result<u32, u32>, Fault> {
    let word = check_word(address)?;
    // SAFETY: the word is C's, as `check_word` saw, and may fault.
    let seen = unsafe { user_copy::compare_exchange_u32(word, current, new) }?;
    Ok(if seen == current { Ok(seen) } else { Err(seen) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_way_there_and_back() {
        let mut place = [0u8; 16];
        let address = place.as_mut_ptr().expose_provenance();
        write_user(address + 1, &0x0123_4567_89ab_cdefu64).expect("mapped");
        assert_eq!(read_user::<u64>(address + 1), Ok(0x0123_4567_89ab_cdef));
    }

    #[test]
    fn addresses_that_cannot_be_c_memory_fault() {
        assert_eq!(read_user::<u32>(0), Err(Fault));
        assert_eq!(read_user::<u32>(usize::MAX - 1), Err(Fault));
        assert_eq!(copy_to_user(user_copy::END_OF_C - 1, &[0; 2]), Err(Fault));
        assert_eq!(copy_to_user(0, &[]), Ok(()));
        assert_eq!(load_user_u32(0x1_0000_0001), Err(Fault));
    }

    #[test]
    fn a_string_ends_at_its_nul_or_at_the_limit() {
        let text = b"a string of some length\0rest";
        let address = text.as_ptr().expose_provenance();
        assert_eq!(
            read_user_string(address, 100).as_deref(),
            Ok(&b"a string of some length"[..])
        );
        assert_eq!(
            read_user_string(address, 23).as_deref(),
            Ok(&b"a string of some length"[..])
        );
        assert_eq!(read_user_string(address, 22), Err(StringError::TooLong));
    }

    #[test]
    fn a_word_is_exchanged_only_if_it_is_as_expected() {
        let word = core::sync::atomic::AtomicU32::new(7);
        let address = word.as_ptr().expose_provenance();
        assert_eq!(compare_exchange_user_u32(address, 6, 9), Ok(Err(7)));
        assert_eq!(compare_exchange_user_u32(address, 7, 9), Ok(Ok(7)));
        assert_eq!(load_user_u32(address), Ok(9));
        store_user_u32(address, 3).expect("mapped");
        assert_eq!(load_user_u32(address), Ok(3));
    }
}
