//! The kernel log: lines with a time stamp, kept in memory (`dmesg`) and
//! printed on the console.
//!
//! ```text
//! [    0.012345] [PythonOS] INFO kernel.boot: SMP online 4/4
//! ```
//!
//! Any CPU may log from any context but a non-maskable interrupt. A line goes
//! into the ring first, under a lock that is held for the copy alone. Then
//! whoever gets hold of the console prints what the ring holds and nobody has
//! printed; who does not get it leaves, because the one who has it looks at the ring again
//! after letting go. So no line is lost, and nobody waits for the serial line
//! except the one who prints.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Mutex;

use crate::arch;
use crate::log_ring::Ring;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// Bytes of log that are kept.
const RING_SIZE: usize = 128 * 1024;
/// Longest line; what is longer is cut and marked.
const LINE_SIZE: usize = 512;

static RING: Mutex<Ring<RING_SIZE>> = Mutex::new(Ring::new());
/// Position in the ring up to which the console has printed. Only who holds
/// `CONSOLE` changes it.
static PRINTED: AtomicU64 = AtomicU64::new(0);
/// Whether somebody writes to the console.
static CONSOLE: AtomicBool = AtomicBool::new(false);

/// One line while it is put together.
struct Line {
    bytes: [u8; LINE_SIZE],
    len: usize,
    is_cut: bool,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Room for the mark and the newline stays free.
        let room = LINE_SIZE - 4 - self.len;
        let taken = text.floor_char_boundary(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        self.is_cut |= taken < text.len();
        Ok(())
    }
}

/// Logs one line; use it through the macros of this module.
pub fn write(level: Level, area: &str, message: fmt::Arguments) {
    let mut line = Line {
        bytes: [0; LINE_SIZE],
        len: 0,
        is_cut: false,
    };
    let now = arch::uptime_ns();
    let (seconds, micros) = (now / 1_000_000_000, now % 1_000_000_000 / 1_000);
    let name = level.name();
    // A `Line` takes everything, so writing cannot fail.
    let _ = write!(
        line,
        "[{seconds:5}.{micros:06}] [PythonOS] {name} {area}: {message}"
    );
    if line.is_cut {
        line.bytes[line.len..line.len + 3].copy_from_slice(b"...");
        line.len += 3;
    }
    line.bytes[line.len] = b'\n';
    arch::without_interrupts(|| RING.lock().push(&line.bytes[..=line.len]));
    print_pending();
}

/// Prints what is in the ring and not yet on the console, unless somebody else
/// is at it.
fn print_pending() {
    while try_take_console() {
        print_ring();
        release_console();
        // A line that came in between found the console taken and left it to us.
        if PRINTED.load(Ordering::Relaxed) == ring_end() {
            break;
        }
    }
}

fn ring_end() -> u64 {
    arch::without_interrupts(|| RING.lock().end())
}

fn try_take_console() -> bool {
    // Acquire pairs with the Release in `release_console`: we see `PRINTED` as
    // the last one left it.
    CONSOLE
        .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

fn release_console() {
    CONSOLE.store(false, Ordering::SeqCst);
}

/// Prints the rest of the ring; the caller holds the console.
fn print_ring() {
    let mut chunk = [0; 128];
    loop {
        let wanted = PRINTED.load(Ordering::Relaxed);
        let (from, len) = arch::without_interrupts(|| RING.lock().read(wanted, &mut chunk));
        if from > wanted {
            arch::serial::write(b"[log lines lost]\r\n");
        }
        if len == 0 {
            PRINTED.store(from, Ordering::Relaxed);
            return;
        }
        write_lines(&chunk[..len], arch::serial::write);
        PRINTED.store(from + len as u64, Ordering::Relaxed);
    }
}

/// Writes text with carriage returns, as a terminal in raw mode needs it.
fn write_lines(text: &[u8], write: fn(&[u8])) {
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                write(line);
                write(b"\r\n");
            }
            None => write(line),
        }
    }
}

/// Writes bytes to the console as they are, between log lines and not inside
/// them: the console tty's way out. Waits, in thread context, while a log line
/// is being printed.
pub fn write_console(bytes: &[u8]) {
    while !try_take_console() {
        // Who prints may wait for this very CPU.
        smp::yield_now();
        arch::relax();
    }
    arch::serial::write(bytes);
    release_console();
    if PRINTED.load(Ordering::Relaxed) != ring_end() {
        print_pending();
    }
}

/// Prints what is still pending when a fault report begins: the other CPUs have
/// stopped, perhaps in the middle of a line or with the ring locked.
///
/// # Safety
///
/// No other CPU runs, and this CPU returns to nothing it interrupted.
pub unsafe fn flush_for_report() {
    // SAFETY: the caller's contract: whoever held the lock never continues.
    unsafe { RING.force_unlock() };
    let mut chunk = [0; 128];
    loop {
        let wanted = PRINTED.load(Ordering::Relaxed);
        let (from, len) = RING.lock().read(wanted, &mut chunk);
        if len == 0 {
            return;
        }
        write_lines(&chunk[..len], arch::serial::write_in_report);
        PRINTED.store(from + len as u64, Ordering::Relaxed);
    }
}

/// Adds a piece of a fault report to the ring and prints it.
///
/// # Safety
///
/// As for [`flush_for_report`].
pub unsafe fn write_report(text: &str) {
    RING.lock().push(text.as_bytes());
    PRINTED.store(RING.lock().end(), Ordering::Relaxed);
    write_lines(text.as_bytes(), arch::serial::write_in_report);
}

/// Copies log text that follows position `from` into `buffer`: the source of
/// `/dev/kmsg` and syslog(2). Returns where the copy began and its length.
pub fn read(from: u64, buffer: &mut [u8]) -> (u64, usize) {
    // In pieces, so that interrupts are off for a short time only.
    let mut begin = None;
    let mut filled = 0;
    while filled < buffer.len() {
        let want = begin.map_or(from, |begin: u64| begin + filled as u64);
        let piece_end = buffer.len().min(filled + 512);
        let piece = &mut buffer[filled..piece_end];
        let (at, len) = arch::without_interrupts(|| RING.lock().read(want, piece));
        if len == 0 || (begin.is_some() && at != want) {
            break;
        }
        begin.get_or_insert(at);
        filled += len;
    }
    (begin.unwrap_or(from), filled)
}

/// Bytes of log that are kept.
pub fn capacity() -> usize {
    RING_SIZE
}

/// Positions of the oldest whole line and of the end of the log.
pub fn bounds() -> (u64, u64) {
    arch::without_interrupts(|| {
        let ring = RING.lock();
        (ring.start(), ring.end())
    })
}

/// Logs at level INFO: `log::info!("kernel.boot", "SMP online {n}/{n}")`.
macro_rules! info {
    ($area:expr, $($message:tt)+) => {
        $crate::log::write($crate::log::Level::Info, $area, format_args!($($message)+))
    };
}
/// Logs at level WARN.
macro_rules! warning {
    ($area:expr, $($message:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, $area, format_args!($($message)+))
    };
}
/// Logs at level ERROR.
macro_rules! error {
    ($area:expr, $($message:tt)+) => {
        $crate::log::write($crate::log::Level::Error, $area, format_args!($($message)+))
    };
}
pub(crate) use {error, info, warning as warn};
