//! The serial port and the kernel log.

use super::call::Call;
use super::enter::enter;
use super::object::{self, Error, Result, detached};
use crate::arch::{serial, user_copy};
use crate::log::{self, Level};

/// What is passed to the kernel at a time.
const CHUNK: usize = 256;

/// The longest target that a line of the log names.
const TARGET: usize = 64;

/// `serial_write(data)`: past the terminal, as it is.
pub fn write(call: &Call) -> Result {
    let buffer = call.buffer(0, false)?;
    let mut chunk = [0; CHUNK];
    let mut at = 0;
    while at < buffer.len() {
        let len = (buffer.len() - at).min(CHUNK);
        let from = core::ptr::with_exposed_provenance(buffer.address() + at);
        // SAFETY: the chunk is ours; the buffer's memory is there, or a fault says that it is not.
        unsafe { user_copy::copy(chunk.as_mut_ptr(), from, len) }?;
        detached(|| enter(|| serial::write(&chunk[..len])));
        at += len;
    }
    object::int(buffer.len() as u64)
}

/// `log(level, target, text)`: a line of `text` each.
pub fn log(call: &Call) -> Result {
    let level = match call.int(0, 3)? {
        0 => Level::Debug,
        1 => Level::Info,
        2 => Level::Warn,
        _ => Level::Error,
    };
    let (target, text) = (utf8(call.text(1)?)?, utf8(call.text(2)?)?);
    if target.is_empty() || target.len() > TARGET || target.contains(|c: char| c.is_control()) {
        return Err(Error::Value(c"the target is a short name"));
    }
    for line in text.lines() {
        enter(|| log::write(level, target, format_args!("{}", Printable(line))));
    }
    object::none()
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    core::str::from_utf8(bytes).map_err(|_| Error::Value(c"the text has no UTF-8"))
}

/// A line whose control characters are shown as `?`, so that none reaches the terminal.
struct Printable<'a>(&'a str);

impl core::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter) -> core::fmt::Result {
        use core::fmt::Write;
        let is_plain = |c: char| !c.is_control() || c == '\t';
        (self.0.chars()).try_for_each(|c| f.write_char(if is_plain(c) { c } else { '?' }))
    }
}
