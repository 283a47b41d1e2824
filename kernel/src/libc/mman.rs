//! Memory mappings: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), msync(2), mincore(2), mlock(2)
//! and their like, over the one address space.

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::fd_table::FILES;
use crate::memory::address_space::Space;
use crate::memory::{FaultReason, PAGE_SIZE, address_space, user};
use crate::python;
use linux_raw_sys::general as raw;
use mmap_shim::{MapError, MapRequest, Mapping, Protection, Remapping, Source};

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_mmap, sys_mmap),
    (raw::__NR_munmap, sys_munmap),
    (raw::__NR_mprotect, sys_mprotect),
    (raw::__NR_mremap, sys_mremap),
    (raw::__NR_madvise, sys_madvise),
    (raw::__NR_msync, sys_msync),
    (raw::__NR_mincore, sys_mincore),
    (raw::__NR_mlock, sys_mlock),
    (raw::__NR_mlock2, sys_mlock2),
    (raw::__NR_munlock, sys_munlock),
    (raw::__NR_mlockall, sys_mlockall),
    (raw::__NR_munlockall, sys_munlockall),
    (raw::__NR_brk, sys_brk),
];

impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::InvalidArgument => Errno::EINVAL,
            MapError::NoMemory => Errno::ENOMEM,
            MapError::Exists => Errno::EEXIST,
            MapError::AccessDenied => Errno::EACCES,
            MapError::BadRange => Errno::EFAULT,
            MapError::Busy => Errno::EBUSY,
            MapError::Overflow => Errno::EOVERFLOW,
            MapError::NotPermitted => Errno::EPERM,
            MapError::NotSupported => Errno::EOPNOTSUPP,
        }
    }
}

/// Runs one of the calls that take memory or give it back, and lets CPython's allocator know whether
/// memory is short.
fn with_areas<R>(call: impl FnOnce(&mut Space) -> R) -> R {
    let (result, is_short) = address_space::change(|space| (call(space), space.is_short()));
    python::note_memory(is_short);
    result
}

/// Maps a file or zeros; see mmap(2).
fn sys_mmap(&[address, len, protection, flags, fd, offset]: &[usize; 6]) -> SysResult {
    let protection = Protection::from_bits_truncate(protection as u32);
    let flags = flags as u32;
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let source = if flags & raw::MAP_ANONYMOUS != 0 {
        Source::Anonymous
    } else {
        open_file(fd, protection, flags)?
    };
    let request = MapRequest {
        address,
        len,
        protection,
        flags,
        source,
        offset: offset as u64,
    };
    let Mapping {
        address,
        wants_pages,
    } = with_areas(|space| space.map(request))?;
    if wants_pages {
        // The mapping stands even if its pages cannot be had now (mmap(2), NOTES).
        let _ = address_space::populate(address, address + len, None);
    }
    Ok(address)
}

/// Returns what an open file has to map.
fn open_file(fd: usize, protection: Protection, flags: u32) -> Result<Source, Errno> {
    let description = FILES.get(fd)?;
    let opened = description.flags();
    let is_shared = flags & raw::MAP_TYPE != raw::MAP_PRIVATE;
    let (is_readable, is_writable) = (opened.is_readable(), opened.is_writable());
    if !is_readable || (is_shared && protection.contains(Protection::WRITE) && !is_writable) {
        return Err(Errno::EACCES);
    }
    let backing = description.file().backing(is_shared && is_writable)?;
    Ok(Source::File {
        backing,
        is_readable,
        is_writable,
    })
}

/// Removes mappings; see munmap(2).
fn sys_munmap(&[address, len, ..]: &[usize; 6]) -> SysResult {
    with_areas(|space| space.unmap(address, len))?;
    Ok(0)
}

/// Changes what may be done with memory; see mprotect(2).
fn sys_mprotect(&[address, len, protection, ..]: &[usize; 6]) -> SysResult {
    with_areas(|space| space.protect(address, len, protection as u32))?;
    Ok(0)
}

/// Grows, shrinks or moves a mapping; see mremap(2).
fn sys_mremap(&[old, old_len, new_len, flags, new, _]: &[usize; 6]) -> SysResult {
    let Remapping {
        address,
        wants_pages,
    } = with_areas(|space| space.remap(old, old_len, new_len, flags as u32, new))?;
    if wants_pages {
        // As for mmap: a locked mapping that has grown stands, with or without its pages.
        let _ = address_space::populate(address, address + new_len, None);
    }
    Ok(address)
}

/// Takes advice on memory; see madvise(2).
fn sys_madvise(&[address, len, advice, ..]: &[usize; 6]) -> SysResult {
    let populate = with_areas(|space| space.advise(address, len, advice as u32))?;
    if let Some(access) = populate {
        address_space::populate(
            address,
            address + len.next_multiple_of(PAGE_SIZE),
            Some(access),
        )
        .map_err(|reason| match reason {
            FaultReason::AccessDenied => Errno::EINVAL,
            FaultReason::PastEnd => Errno::EFAULT,
            FaultReason::NotMapped | FaultReason::NoMemory => Errno::ENOMEM,
        })?;
    }
    Ok(0)
}

/// Writes shared mappings back; see msync(2).
fn sys_msync(&[address, len, flags, ..]: &[usize; 6]) -> SysResult {
    address_space::with(|space| space.sync(address, len, flags as u32))?;
    Ok(0)
}

/// Tells which pages are in memory; see mincore(2).
fn sys_mincore(&[address, len, report, ..]: &[usize; 6]) -> SysResult {
    let pages = address_space::with(|space| space.residency_pages(address, len))?;
    let mut piece = [0u8; 512];
    let mut done = 0;
    while done < pages {
        let count = piece.len().min(pages - done);
        let piece = &mut piece[..count];
        address_space::with(|space| space.residency(address + done * PAGE_SIZE, piece))?;
        user::copy_to_user(report.wrapping_add(done), piece)?;
        done += count;
    }
    Ok(0)
}

/// Keeps pages in memory; see mlock(2).
fn sys_mlock(&[address, len, ..]: &[usize; 6]) -> SysResult {
    lock(address, len, false)
}

/// Keeps pages in memory; see mlock2(2).
fn sys_mlock2(&[address, len, flags, ..]: &[usize; 6]) -> SysResult {
    match flags as u32 {
        0 => lock(address, len, false),
        raw::MLOCK_ONFAULT => lock(address, len, true),
        _ => Err(Errno::EINVAL),
    }
}

fn lock(address: usize, len: usize, is_on_fault: bool) -> SysResult {
    let (start, end) = address_space::with(|space| space.set_locked(address, len, true))?;
    if !is_on_fault {
        // A page that cannot be had, for whatever reason, is ENOMEM here.
        address_space::populate(start, end, None).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(0)
}

/// Lets pages go again; see munlock(2). Nothing is ever swapped out, so this is bookkeeping.
fn sys_munlock(&[address, len, ..]: &[usize; 6]) -> SysResult {
    address_space::with(|space| space.set_locked(address, len, false))?;
    Ok(0)
}

/// Keeps all pages in memory; see mlockall(2).
fn sys_mlockall(&[flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    address_space::with(|space| space.set_all_locked(Some(flags)))?;
    if flags & raw::MCL_CURRENT != 0 && flags & raw::MCL_ONFAULT == 0 {
        for area in address_space::areas(false) {
            // mlockall ignores areas whose pages cannot be had, as Linux does.
            let _ = address_space::populate(area.start, area.end, None);
        }
    }
    Ok(0)
}

/// Lets all pages go again; see munlockall(2).
fn sys_munlockall(_: &[usize; 6]) -> SysResult {
    address_space::with(|space| space.set_all_locked(None))?;
    Ok(0)
}

/// There is no heap segment: the answer is always "not moved" (brk(2)), and malloc uses mmap.
fn sys_brk(_: &[usize; 6]) -> SysResult {
    Ok(0)
}
