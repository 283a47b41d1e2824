//! `/dev/kmsg`: the kernel log, a record per read, and lines that programs add to it.

use super::file::{File, Metadata, OpenFlags, PollEvents};
use super::inode::Inode;
use super::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};
use crate::log;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use smp::Mutex;

/// The longest line of the log, and the longest that can be written.
const LINE_MAX: usize = 1024;

/// Opens the log at its oldest line.
pub fn open(inode: Arc<dyn Inode>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    let (oldest, _) = log::bounds();
    Ok(Arc::new(Kmsg {
        inode,
        position: Mutex::new(oldest),
    }))
}

struct Kmsg {
    inode: Arc<dyn Inode>,
    position: Mutex<u64>,
}

/// Reads `[    1.234567] [PythonOS] WARN area: text` as level, microseconds, and text.
fn parse(line: &str) -> (u32, u64, &str) {
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((stamp, text)) = rest else {
        return (6, 0, line);
    };
    let micros = stamp.trim().split_once('.').and_then(|(seconds, micros)| {
        Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
    });
    let text = text.trim_start();
    let level = match text
        .strip_prefix("[PythonOS] ")
        .and_then(|rest| rest.split(' ').next())
    {
        Some("ERROR") => 3,
        Some("WARN") => 4,
        Some("DEBUG") => 7,
        _ => 6,
    };
    (level, micros.unwrap_or(0), text)
}

impl File for Kmsg {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    /// One record: `level,sequence,microseconds,-;text`. At the end of the log it is EAGAIN also
    /// without O_NONBLOCK, for nobody is woken by a new line.
    fn read(&self, to: &mut dyn Sink, _flags: OpenFlags) -> SysResult {
        let mut position = self.position.lock();
        let mut bytes = vec![0; LINE_MAX];
        let (start, len) = log::read(*position, &mut bytes);
        let Some(end) = bytes[..len].iter().position(|&byte| byte == b'\n') else {
            return Err(Errno::EAGAIN);
        };
        let line = String::from_utf8_lossy(&bytes[..end]);
        let (level, micros, text) = parse(&line);
        let record = format!("{level},{start},{micros},-;{text}\n");
        if record.len() > to.remaining() {
            return Err(Errno::EINVAL);
        }
        to.put(record.as_bytes())?;
        *position = start + end as u64 + 1;
        Ok(record.len())
    }

    fn write(&self, from: &mut dyn Source, _flags: OpenFlags) -> SysResult {
        let count = from.remaining();
        if count > LINE_MAX {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; count];
        from.take(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // A priority in angle brackets may come first, as syslog(3) writes it.
        let text = text
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .map_or(&*text, |(_, text)| text);
        for line in text.lines() {
            log::info!("user", "{line}");
        }
        Ok(count)
    }

    fn poll(&self) -> PollEvents {
        let (_, end) = log::bounds();
        let mut events = PollEvents::WRITABLE;
        events.set(PollEvents::READABLE, *self.position.lock() < end);
        events
    }
}
