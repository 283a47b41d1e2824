//! Filling buffers, and where they lie.

use super::call::Call;
use super::mmio;
use super::object::{self, Buffer, Error, Result};
use crate::arch::user_copy;

/// Words that are copied at a time.
const CHUNK: usize = 64;

/// Fills words of a buffer, from byte `offset` on.
fn fill(buffer: &Buffer, offset: usize, value: u32, count: usize) -> Result<()> {
    let end = count
        .checked_mul(4)
        .and_then(|len| offset.checked_add(len))
        .ok_or(mmio::OUTSIDE)?;
    if end > buffer.len() {
        return Err(mmio::OUTSIDE);
    }
    let chunk = [value; CHUNK];
    let mut at = offset;
    while at < end {
        let len = (end - at).min(4 * CHUNK);
        let to = core::ptr::with_exposed_provenance_mut(buffer.address() + at);
        // SAFETY: the chunk is ours; the buffer is writable memory, or a fault says that it is not.
        unsafe { user_copy::copy(to, chunk.as_ptr().cast(), len) }?;
        at += len;
    }
    Ok(())
}

/// `buf_fill32(buffer, value)`.
pub fn fill32(call: &Call) -> Result {
    let buffer = call.buffer(0, true)?;
    let value = call.int(1, u32::MAX.into())? as u32;
    if !buffer.len().is_multiple_of(4) {
        return Err(Error::Value(c"the buffer is not one of whole words"));
    }
    fill(&buffer, 0, value, buffer.len() / 4)?;
    object::none()
}

/// `buf_fill32_at(buffer, offset, value, count)`.
pub fn fill32_at(call: &Call) -> Result {
    let buffer = call.buffer(0, true)?;
    let (offset, value) = (call.word(1)?, call.int(2, u32::MAX.into())? as u32);
    fill(&buffer, offset, value, call.word(3)?)?;
    object::none()
}

/// `buf_addr(buffer)`.
pub fn address(call: &Call) -> Result {
    object::int(call.buffer(0, false)?.address() as u64)
}
