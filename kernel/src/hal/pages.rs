//! Pages: mapping physical memory, and what the page tables say.

use super::call::Call;
use super::enter::enter;
use super::object::{self, Error, Result};
use crate::libc::errno::Errno;
use crate::memory::physical::{self, flags};

const ALL_FLAGS: u32 = flags::READ | flags::WRITE | flags::EXECUTE | flags::DEVICE;

fn protection(call: &Call, index: usize) -> Result<u32> {
    Ok(call.int(index, ALL_FLAGS.into())? as u32)
}

fn error(errno: Errno) -> Error {
    let text = match errno {
        Errno::ENOMEM => return Error::Memory,
        Errno::EINVAL => {
            return Error::Value(
                c"addresses and lengths are of whole pages, and not beyond the machine's",
            );
        }
        Errno::EPERM => c"this memory is not Python's to map",
        Errno::EEXIST => c"something is mapped there",
        _ => c"nothing is mapped at this address",
    };
    Error::Os(errno, text)
}

/// `page_map(virt, phys, length, flags)`.
pub fn map(call: &Call) -> Result {
    let (virt, phys, len) = (call.word(0)?, call.int(1, u64::MAX)?, call.word(2)?);
    let flags = protection(call, 3)?;
    let kind = flags & flags::DEVICE;
    if kind != 0 && physical::is_ram(phys) {
        return Err(Error::Value(
            c"PAGE_DEVICE is for registers, and this is RAM",
        ));
    }
    let mapped = enter(|| physical::map(virt, phys, len, flags & !kind)).map_err(error)?;
    object::int(mapped as u64)
}

/// `page_unmap(virt, length)`.
pub fn unmap(call: &Call) -> Result {
    let (virt, len) = (call.word(0)?, call.word(1)?);
    enter(|| physical::unmap(virt, len)).map_err(error)?;
    object::none()
}

/// `page_protect(virt, length, flags)`.
pub fn protect(call: &Call) -> Result {
    let (virt, len) = (call.word(0)?, call.word(1)?);
    let flags = protection(call, 2)? & !flags::DEVICE;
    enter(|| physical::protect(virt, len, flags)).map_err(error)?;
    object::none()
}

/// `page_entry(virt)`.
pub fn entry(call: &Call) -> Result {
    let virt = call.word(0)?;
    match enter(|| physical::entry(virt)) {
        Some((phys, flags)) => object::tuple([object::int(phys), object::int(flags.into())]),
        None => object::none(),
    }
}
