//! Moving bytes from one open file to another inside the kernel: sendfile(2), copy_file_range(2), splice(2).

use super::args;
use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::{File, OpenFlags};
use crate::fs::inode::FileType;
use crate::fs::io::{KernelSink, MAX_TRANSFER};
use crate::fs::page::PAGE_SIZE;
use crate::fs::pipe::PipeEnd;
use crate::memory::user;
use alloc::sync::Arc;
use alloc::vec;
use linux_raw_sys::general as raw;

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_sendfile, sendfile),
    (raw::__NR_copy_file_range, copy_file_range),
    (raw::__NR_splice, splice),
];

/// How many bytes are on their way at a time.
const CHUNK: usize = 4 * PAGE_SIZE;

/// Where bytes come from or go to: an offset of its own, or the open file's.
struct Side {
    description: Arc<Description>,
    offset: Option<u64>,
}

impl Side {
    fn read(&mut self, buffer: &mut [u8]) -> SysResult {
        let mut sink = KernelSink::new(buffer);
        let Some(offset) = &mut self.offset else {
            return self.description.read(&mut sink);
        };
        let count = self.description.read_at(*offset, &mut sink)?;
        *offset += count as u64;
        Ok(count)
    }

    fn write(&mut self, mut bytes: &[u8]) -> SysResult {
        let Some(offset) = &mut self.offset else {
            return self.description.write(&mut bytes);
        };
        let count = self.description.write_at(*offset, &mut bytes)?;
        *offset += count as u64;
        Ok(count)
    }

    /// Puts bytes back that were read and found no taker.
    fn unread(&mut self, count: usize) {
        match &mut self.offset {
            Some(offset) => *offset -= count as u64,
            None => self
                .description
                .with_offset(|offset| *offset -= count as u64),
        }
    }
}

/// Moves up to `len` bytes; `from` must be seekable, so that what `to` does not take is not lost.
fn transfer(from: &mut Side, to: &mut Side, len: usize) -> SysResult {
    let mut buffer = vec![0; CHUNK.min(len)];
    let mut done = 0;
    while done < len {
        let want = buffer.len().min(len - done);
        let count = match from.read(&mut buffer[..want]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        };
        let written = match to.write(&buffer[..count]) {
            Ok(written) => written,
            Err(errno) => {
                from.unread(count);
                if done > 0 {
                    break;
                }
                return Err(errno);
            }
        };
        done += written;
        if written < count {
            from.unread(count - written);
            break;
        }
    }
    Ok(done)
}

/// Reads an offset that C passes by address; null means the open file's own.
fn offset_at(address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    Ok(Some(args::offset(user::read_user::<usize>(address)?)?))
}

fn put_offset(address: usize, side: &Side) -> Result<(), Errno> {
    match side.offset {
        Some(offset) => Ok(user::write_user(address, &offset)?),
        None => Ok(()),
    }
}

/// sendfile(2).
fn sendfile(&[to, from, offset, len, ..]: &[usize; 6]) -> SysResult {
    let (from, to) = (FILES.get(from)?, FILES.get(to)?);
    if !from.flags().is_readable() || !to.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    if !from.file().is_seekable() || to.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    let mut from = Side {
        description: from,
        offset: offset_at(offset)?,
    };
    let mut to = Side {
        description: to,
        offset: None,
    };
    let count = transfer(&mut from, &mut to, len.min(MAX_TRANSFER))?;
    put_offset(offset, &from)?;
    Ok(count)
}

/// copy_file_range(2): between regular files.
fn copy_file_range(&[from, from_offset, to, to_offset, len, flags]: &[usize; 6]) -> SysResult {
    if flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (FILES.get(from)?, FILES.get(to)?);
    for side in [&from, &to] {
        match FileType::from_mode(side.file().metadata()?.mode) {
            Some(FileType::Regular) => {}
            Some(FileType::Directory) => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
    }
    if !from.flags().is_readable()
        || !to.flags().is_writable()
        || to.flags().contains(OpenFlags::APPEND)
    {
        return Err(Errno::EBADF);
    }
    let is_same = {
        let (a, b) = (from.file().metadata()?, to.file().metadata()?);
        (a.device, a.inode) == (b.device, b.inode)
    };
    let mut from = Side {
        description: from,
        offset: offset_at(from_offset)?,
    };
    let mut to = Side {
        description: to,
        offset: offset_at(to_offset)?,
    };
    let len = len.min(MAX_TRANSFER);
    if is_same {
        let start = |side: &Side| {
            side.offset
                .unwrap_or_else(|| side.description.with_offset(|offset| *offset))
        };
        if start(&from).abs_diff(start(&to)) < len as u64 {
            return Err(Errno::EINVAL);
        }
    }
    let count = transfer(&mut from, &mut to, len)?;
    put_offset(from_offset, &from)?;
    put_offset(to_offset, &to)?;
    Ok(count)
}

fn pipe_of(description: &Description) -> Option<&PipeEnd> {
    description.file().downcast_ref()
}

/// splice(2): from a file into a pipe, or from a pipe elsewhere.
fn splice(&[from, from_offset, to, to_offset, len, flags]: &[usize; 6]) -> SysResult {
    if len == 0 {
        return Ok(0);
    }
    let known =
        raw::SPLICE_F_MOVE | raw::SPLICE_F_NONBLOCK | raw::SPLICE_F_MORE | raw::SPLICE_F_GIFT;
    if flags as u32 & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (FILES.get(from)?, FILES.get(to)?);
    if !from.flags().is_readable() || !to.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    let (from_pipe, to_pipe) = (pipe_of(&from), pipe_of(&to));
    let (is_from_pipe, is_to_pipe) = (from_pipe.is_some(), to_pipe.is_some());
    if from_pipe
        .zip(to_pipe)
        .is_some_and(|(from, to)| from.is_same_pipe(to))
    {
        return Err(Errno::EINVAL);
    }
    if (is_from_pipe && from_offset != 0) || (is_to_pipe && to_offset != 0) {
        return Err(Errno::ESPIPE);
    }
    if !is_from_pipe && !is_to_pipe || to.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    let can_splice = |file: &dyn File| file.is_seekable() || file.socket().is_some();
    if !is_to_pipe && !can_splice(&**to.file()) {
        return Err(Errno::EINVAL);
    }
    let is_nonblocking = flags as u32 & raw::SPLICE_F_NONBLOCK != 0;
    let len = len.min(MAX_TRANSFER);
    let mut to_side = Side {
        description: to,
        offset: offset_at(to_offset)?,
    };
    if is_from_pipe {
        let count = splice_from_pipe(&from, &mut to_side, len, is_nonblocking)?;
        put_offset(to_offset, &to_side)?;
        return Ok(count);
    }
    let is_socket = from.file().socket().is_some();
    if is_socket && from_offset != 0 {
        return Err(Errno::ESPIPE);
    }
    let mut from_side = Side {
        description: from,
        offset: offset_at(from_offset)?,
    };
    // One write that fits cannot take a part of what was read and block on the rest.
    let room = pipe_of(&to_side.description).map_or(Ok(0), PipeEnd::room)?;
    if room == 0 && is_nonblocking {
        return Err(Errno::EAGAIN);
    }
    if !can_splice(&**from_side.description.file()) {
        return Err(Errno::EINVAL);
    }
    let len = len.min(room.max(PAGE_SIZE));
    if is_socket {
        let mut buffer = vec![0; CHUNK.min(len)];
        let mut flags = from_side.description.flags();
        flags.set(
            OpenFlags::NONBLOCK,
            is_nonblocking || flags.is_nonblocking(),
        );
        let count = from_side
            .description
            .file()
            .read(&mut KernelSink::new(&mut buffer), flags)?;
        return to_side.write(&buffer[..count]);
    }
    let count = transfer(&mut from_side, &mut to_side, len)?;
    put_offset(from_offset, &from_side)?;
    Ok(count)
}

/// Takes bytes out of a pipe only as `to` takes them: they are copied first and dropped after.
fn splice_from_pipe(
    from: &Arc<Description>,
    to: &mut Side,
    len: usize,
    is_nonblocking: bool,
) -> SysResult {
    let pipe = pipe_of(from).ok_or(Errno::EINVAL)?;
    let mut flags = from.flags();
    flags.set(
        OpenFlags::NONBLOCK,
        is_nonblocking || flags.is_nonblocking(),
    );
    let mut buffer = vec![0; CHUNK.min(len)];
    pipe.take_with(&mut buffer, flags, |bytes| {
        if let Some(pipe) = pipe_of(&to.description) {
            pipe.room()?;
        }
        if bytes.is_empty() {
            Ok(0)
        } else {
            to.write(bytes)
        }
    })
}
