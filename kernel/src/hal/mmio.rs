//! Reading and writing at an address.
//!
//! An address is a virtual one. Below 4 GiB, where only the image lies, it is as well the physical address of
//! a device's registers, which are then mapped (the first page aside, which is for null pointers); what lies above is mapped by `page_map`. Kernel memory may be
//! read; of it only frames that Python owns and registers may be written.

use super::call::Call;
use super::enter::enter;
use super::object::{self, Error, Result};
use crate::arch::device_access;
use crate::arch::page_table::{USER_RANGE, image_sections};
use crate::arch::user_copy;
use crate::libc::errno::Errno;
use crate::memory::PAGE_SIZE;
use crate::memory::physical;
use crate::memory::user::Fault;

/// Where the kernel's half of the address space begins.
const KERNEL_HALF: usize = 0xffff_8000_0000_0000;

const NOTHING_THERE: Error = Error::Os(Errno::EFAULT, c"nothing is mapped at this address");
/// A range does not lie in a buffer.
pub const OUTSIDE: Error = Error::Value(c"the range does not lie in the buffer");
const READ_ONLY: Error = Error::Os(Errno::EACCES, c"this memory is the kernel's own");

impl From<Fault> for Error {
    fn from(_: Fault) -> Error {
        NOTHING_THERE
    }
}

/// Returns where to access `len` bytes at `address`, which lie in one page.
fn place(address: usize, len: usize, writes: bool) -> Result<usize> {
    if !address.is_multiple_of(len) {
        return Err(Error::Value(c"the address is not aligned"));
    }
    if USER_RANGE.contains(&address) {
        return Ok(address);
    }
    let is_image = || {
        let sections = image_sections();
        let mut found = sections.iter().map(|(section, ..)| section);
        found.any(|section| section.contains(&address))
    };
    if is_image() {
        return if writes { Err(READ_ONLY) } else { Ok(address) };
    }
    if (PAGE_SIZE..USER_RANGE.start).contains(&address) {
        return enter(|| physical::register_address(address)).map_err(|errno| match errno {
            Errno::ENOMEM => Error::Memory,
            _ => NOTHING_THERE,
        });
    }
    if address < KERNEL_HALF {
        return Err(NOTHING_THERE);
    }
    let may_write = || {
        physical::is_register_address(address) || enter(|| physical::is_owned_address(address, len))
    };
    if writes && !may_write() {
        return Err(READ_ONLY);
    }
    Ok(address)
}

/// `mmio_read8(address)`.
pub fn read8(call: &Call) -> Result {
    let address = place(call.word(0)?, 1, false)?;
    // SAFETY: `place` gives canonical addresses; Python wants the read.
    object::int(unsafe { device_access::load(address, 1) }?.into())
}

/// `mmio_read32(address)`.
pub fn read32(call: &Call) -> Result {
    let address = place(call.word(0)?, 4, false)?;
    // SAFETY: as above, and it is aligned.
    object::int(unsafe { device_access::load(address, 4) }?.into())
}

/// `mmio_write8(address, value)`.
pub fn write8(call: &Call) -> Result {
    let (address, value) = (call.word(0)?, call.int(1, u8::MAX.into())?);
    let address = place(address, 1, true)?;
    // SAFETY: it is Python's memory or a device's.
    unsafe { device_access::store(address, 1, value as u32) }?;
    object::none()
}

fn store32(address: usize, value: u32) -> Result<()> {
    let address = place(address, 4, true)?;
    // SAFETY: it is Python's memory or a device's.
    Ok(unsafe { device_access::store(address, 4, value) }?)
}

/// `mmio_write32(address, value)`.
pub fn write32(call: &Call) -> Result {
    store32(call.word(0)?, call.int(1, u32::MAX.into())? as u32)?;
    object::none()
}

/// Returns the address of word `index` behind `address`.
fn word_at(address: usize, index: usize) -> Result<usize> {
    let offset = index.checked_mul(4);
    offset
        .and_then(|offset| address.checked_add(offset))
        .ok_or(Error::Value(c"the range runs past the last address"))
}

/// `mmio_fill32(address, value, count)`.
pub fn fill32(call: &Call) -> Result {
    let (address, value) = (call.word(0)?, call.int(1, u32::MAX.into())? as u32);
    let count = call.word(2)?;
    word_at(address, count)?;
    for index in 0..count {
        store32(word_at(address, index)?, value)?;
    }
    object::none()
}

/// `mmio_write_buf32(address, buffer)`.
pub fn write_buf32(call: &Call) -> Result {
    let address = call.word(0)?;
    let buffer = call.buffer(1, false)?;
    if !buffer.len().is_multiple_of(4) {
        return Err(Error::Value(c"the buffer is not one of whole words"));
    }
    word_at(address, buffer.len() / 4)?;
    for index in 0..buffer.len() / 4 {
        let mut word = [0; 4];
        let from = core::ptr::with_exposed_provenance(buffer.address() + 4 * index);
        // SAFETY: the word is ours; the buffer's memory is there, or a fault says that it is not.
        unsafe { user_copy::copy(word.as_mut_ptr(), from, 4) }?;
        store32(word_at(address, index)?, u32::from_ne_bytes(word))?;
    }
    object::none()
}
