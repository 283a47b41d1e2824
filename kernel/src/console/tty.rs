//! A terminal: a line of bytes to and from the outside, seen through a line discipline.
//!
//! ```text
//!   interrupt ─► received (ring) ─► tty thread ─► line discipline ─► readers
//!                                      │ echo, signals
//!   writers ──► line discipline ──► output
//! ```
//! The interrupt only moves bytes into the ring. If the ring is full it leaves them in the device,
//! whose own flow control then holds the sender back: nothing is lost. The thread does the rest.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use smp::{Mutex, NOTIFY_SIGNAL, SpinLock, ThreadRef, WaitError, WaitQueue};

use super::foreground;
use super::line_discipline::{LineDiscipline, Reaction, TtySignal};
use super::received::Received;
use super::termios::{ICANON, Termios};
use crate::fs::file::{OpenFlags, PollEvents};
use crate::fs::io::{Sink, Source};
use crate::kernel_thread;
use crate::libc::errno::{Errno, SysResult};
use crate::libc::signal::has_effect;
use crate::libc::time::monotonic_ns;

/// Output goes through the modes in pieces of this size.
const OUTPUT_PIECE: usize = 512;

/// Input goes through the line discipline in pieces of this size.
const BATCH: usize = 64;

/// The most that one read returns.
const MAX_READ: usize = 4096;

/// What is behind a terminal: a device, a pseudo-terminal's master, a connection.
pub trait Wire: Send + Sync {
    /// Takes a received byte, if there is one. Called with interrupts off.
    fn receive(&self) -> Option<u8> {
        None
    }

    /// Tells how much can be sent now without piling up.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Sends bytes; may wait for the device, but not for somebody to read.
    fn send(&self, bytes: &[u8]);

    /// Somebody typed a character that stands for a signal, and nobody is in the foreground.
    fn signal(&self, signal: TtySignal);

    /// The window's size has changed.
    fn resized(&self);

    /// A reader has made room for input.
    fn input_read(&self) {}
}

/// Rows and columns: `struct winsize`, whose pixel sizes stay as they were set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowSize {
    /// Rows, columns, and the size in pixels.
    pub words: [u16; 4],
}

impl WindowSize {
    /// A window of that many characters.
    pub const fn of_text(columns: u16, rows: u16) -> Self {
        Self {
            words: [rows, columns, 0, 0],
        }
    }
}

/// A terminal.
pub struct Tty {
    wire: Box<dyn Wire>,
    received: SpinLock<Received>,
    line: SpinLock<LineDiscipline>,
    /// Woken when there may be more to read, or output may go on, or the modes changed.
    changed: WaitQueue,
    /// Held by one writer at a time, so that what one call writes stays together.
    writing: Mutex<()>,
    size: SpinLock<WindowSize>,
    thread: SpinLock<Option<ThreadRef>>,
    /// Who brings input waits for a reader to make room.
    is_throttled: AtomicBool,
    /// The other side is gone for good.
    is_hung_up: AtomicBool,
    /// Whom typed signals go to, see [`foreground`]; 0: nobody has been chosen.
    foreground: AtomicU32,
}

impl Tty {
    /// A terminal on `wire`. Its input comes by [`Tty::start`], or by calls of [`Tty::input`].
    pub fn new(wire: Box<dyn Wire>, size: WindowSize) -> Arc<Self> {
        Arc::new(Self {
            wire,
            received: SpinLock::new(Received::new()),
            line: SpinLock::new(LineDiscipline::new()),
            changed: WaitQueue::new(),
            writing: Mutex::new(()),
            size: SpinLock::new(size),
            thread: SpinLock::new(None),
            is_throttled: AtomicBool::new(false),
            is_hung_up: AtomicBool::new(false),
            foreground: AtomicU32::new(0),
        })
    }

    /// Starts a thread that serves the terminal for ever. Fails for want of memory only.
    pub fn start(self: &Arc<Self>, name: &str) -> Result<(), Errno> {
        let this = Arc::into_raw(self.clone()).expose_provenance();
        let thread = kernel_thread::spawn(name, run, this).ok_or(Errno::ENOMEM)?;
        *self.thread.lock() = Some(thread);
        self.pump();
        Ok(())
    }

    /// Takes what the device has received; its interrupt handler calls this.
    pub fn pump(&self) {
        {
            let mut received = self.received.lock();
            while !received.is_full() {
                let Some(byte) = self.wire.receive() else {
                    break;
                };
                received.push(byte);
            }
        }
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// Processes received bytes as they come; never returns.
    fn serve(&self) -> ! {
        let mut echo = Vec::new();
        loop {
            let mut batch = [0; BATCH];
            let count = if self.is_full() {
                0
            } else {
                self.received.lock().pop(&mut batch)
            };
            if count == 0 {
                smp::park(None, false);
                continue;
            }
            self.process(&batch[..count], &mut echo);
            // There is room again for what the device held back.
            self.pump();
        }
    }

    /// No more input is taken before somebody reads. Then [`Wire::input_read`] is called.
    pub fn is_full(&self) -> bool {
        // Said before looking, so that a reader which makes room in between tells.
        self.is_throttled.store(true, Ordering::SeqCst);
        let is_full = self.line.lock().is_full();
        self.is_throttled.store(is_full, Ordering::SeqCst);
        is_full
    }

    /// Takes a small piece of input in the caller's thread, who has asked whether the terminal
    /// is full.
    pub fn input(&self, bytes: &[u8]) {
        self.process(bytes, &mut Vec::new());
    }

    /// Runs received bytes through the line discipline.
    fn process(&self, bytes: &[u8], echo: &mut Vec<u8>) {
        for &byte in bytes {
            let (reaction, is_stopped) = {
                let mut line = self.line.lock();
                (line.receive(byte, echo), line.is_stopped())
            };
            // While output is stopped its echo waits with it.
            if !is_stopped && !echo.is_empty() {
                self.wire.send(echo);
                echo.clear();
            }
            self.react(reaction);
        }
        self.changed.wake_all();
    }

    fn react(&self, reaction: Reaction) {
        if reaction.output_resumed {
            self.changed.wake_all();
        }
        if let Some(signal) = reaction.signal {
            match self.foreground() {
                0 => self.wire.signal(signal),
                group => foreground::send(group, signal),
            }
        }
    }

    /// Whom typed signals go to: the process, or one of its threads; 0 if nobody has been chosen.
    pub fn foreground(&self) -> u32 {
        self.foreground.load(Ordering::Relaxed)
    }

    /// Chooses whom typed signals go to.
    pub fn set_foreground(&self, group: u32) {
        self.foreground.store(group, Ordering::Relaxed);
    }

    /// The queue that is woken when [`Tty::poll`] may have changed.
    pub fn wait_queue(&self) -> &WaitQueue {
        &self.changed
    }

    /// What the terminal is ready for.
    pub fn poll(&self) -> PollEvents {
        let line = self.line.lock();
        let termios = line.termios();
        // With VTIME a read waits no longer than that: one byte is as good as VMIN.
        let minimum = if termios.time_ns() == 0 {
            termios.minimum().max(1)
        } else {
            1
        };
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, line.is_readable(minimum));
        events.set(
            PollEvents::WRITABLE,
            !line.is_stopped() && self.wire.room() > 0,
        );
        if self.is_hung_up() {
            events |= PollEvents::READABLE | PollEvents::WRITABLE | PollEvents::HUP;
        }
        events
    }

    /// How many bytes a read could return now.
    pub fn available(&self) -> usize {
        self.line.lock().available()
    }

    /// Reads a line, or what the modes without lines say (VMIN, VTIME); see termios(3).
    pub fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        let wanted = to.remaining().min(MAX_READ);
        if wanted == 0 {
            return Ok(0);
        }
        let mut buffer = alloc::vec![0; wanted];
        let count = loop {
            self.wait_readable(wanted, flags.is_nonblocking())?;
            let mut line = self.line.lock();
            // Another reader may have been faster.
            let is_canonical = line.termios().has_local(ICANON);
            if is_canonical && !line.is_readable(1) && !self.is_hung_up() {
                continue;
            }
            break line.read(&mut buffer);
        };
        if self.is_throttled.swap(false, Ordering::SeqCst) {
            self.unpark();
            self.wire.input_read();
        }
        to.put(&buffer[..count])?;
        Ok(count)
    }

    /// Waits until a read of `wanted` bytes may return, which may be without any.
    fn wait_readable(&self, wanted: usize, is_nonblocking: bool) -> Result<(), Errno> {
        let is_ready = |line: &LineDiscipline| {
            let minimum = line.termios().minimum().min(wanted).max(1);
            line.is_readable(minimum) || self.is_hung_up()
        };
        let (is_canonical, minimum, time_ns) = {
            let line = self.line.lock();
            if is_ready(&line) {
                return Ok(());
            }
            let termios = line.termios();
            (
                termios.has_local(ICANON),
                termios.minimum(),
                termios.time_ns(),
            )
        };
        if !is_canonical && minimum == 0 && time_ns == 0 {
            return Ok(());
        }
        if is_nonblocking {
            let has_some = !is_canonical && self.available() > 0;
            return if has_some { Ok(()) } else { Err(Errno::EAGAIN) };
        }
        let ready = || is_ready(&self.line.lock()).then_some(());
        if is_canonical || time_ns == 0 {
            return self
                .changed
                .wait(None, true, ready)
                .map_err(|_| Errno::RESTART);
        }
        // The time-out runs from the call if nothing need come, else from each byte to the next.
        let mut seen = self.available();
        loop {
            let deadline_ns = (minimum == 0 || seen > 0).then(|| monotonic_ns() + time_ns);
            let changed = || {
                let line = self.line.lock();
                let available = line.available();
                (is_ready(&line) || available != seen).then_some(available)
            };
            match self.changed.wait(deadline_ns, true, changed) {
                Ok(available) => seen = available,
                Err(WaitError::TimedOut) => return Ok(()),
                Err(WaitError::Interrupted) => return Err(Errno::RESTART),
            }
            if is_ready(&self.line.lock()) || minimum == 0 {
                return Ok(());
            }
        }
    }

    /// Sends all of `from` through the output modes.
    pub fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        // Who writes at this moment may wait for a reader.
        let _writing = if flags.is_nonblocking() {
            self.writing.try_lock().ok_or(Errno::EAGAIN)?
        } else {
            self.writing.lock()
        };
        let mut piece = [0; OUTPUT_PIECE];
        let mut out = Vec::with_capacity(2 * OUTPUT_PIECE);
        let mut written = 0;
        while from.remaining() > 0 {
            let may_go_on = self.wait_to_send(flags.is_nonblocking());
            // A signal ends a long write between pieces.
            let has_signal =
                written > 0 && smp::current().notify() & NOTIFY_SIGNAL != 0 && has_effect();
            match may_go_on {
                Err(_) if written > 0 => break,
                Err(errno) => return Err(errno),
                Ok(()) if has_signal => break,
                Ok(()) => {}
            }
            let len = from.remaining().min(piece.len());
            if let Err(errno) = from.take(&mut piece[..len]) {
                return if written > 0 { Ok(written) } else { Err(errno) };
            }
            self.line.lock().send(&piece[..len], &mut out);
            self.wire.send(&out);
            out.clear();
            written += len;
        }
        Ok(written)
    }

    fn wait_to_send(&self, is_nonblocking: bool) -> Result<(), Errno> {
        let may_send = || {
            if self.is_hung_up() {
                return Some(Err(Errno::EIO));
            }
            let is_stopped = self.line.lock().is_stopped();
            (!is_stopped && self.wire.room() > 0).then_some(Ok(()))
        };
        if is_nonblocking {
            return may_send().unwrap_or(Err(Errno::EAGAIN));
        }
        self.changed
            .wait(None, true, may_send)
            .map_err(|_| Errno::RESTART)?
    }

    /// The settings in force.
    pub fn termios(&self) -> Termios {
        *self.line.lock().termios()
    }

    /// Changes the settings, after throwing away what nobody has read if `flushes`. Output needs no
    /// draining: a write returns when the device has taken it.
    pub fn set_termios(&self, termios: Termios, flushes: bool) {
        if flushes {
            self.flush_input();
        }
        self.line.lock().set_termios(termios);
        self.changed.wake_all();
    }

    /// Throws away what nobody has read.
    pub fn flush_input(&self) {
        self.received.lock().clear();
        self.line.lock().flush_input();
        self.unpark();
    }

    /// Stops or restarts output.
    pub fn set_stopped(&self, is_stopped: bool) {
        self.line.lock().set_stopped(is_stopped);
        self.changed.wake_all();
    }

    /// Sends one byte past the modes and the stop.
    pub fn send_byte(&self, byte: u8) {
        self.wire.send(&[byte]);
    }

    /// The other side is gone: reads find the end, writes fail.
    pub fn hang_up(&self) {
        self.is_hung_up.store(true, Ordering::Release);
        self.changed.wake_all();
    }

    fn is_hung_up(&self) -> bool {
        self.is_hung_up.load(Ordering::Acquire)
    }

    /// The other side may take more: writers go on.
    pub fn output_taken(&self) {
        self.changed.wake_all();
    }

    /// The window's size.
    pub fn size(&self) -> WindowSize {
        *self.size.lock()
    }

    /// Changes the window's size, which programs learn by SIGWINCH.
    pub fn set_size(&self, size: WindowSize) {
        let old = core::mem::replace(&mut *self.size.lock(), size);
        if old != size {
            self.wire.resized();
        }
    }
}

extern "C" fn run(tty: usize) -> ! {
    // SAFETY: `Tty::start` made this pointer by `Arc::into_raw`, for this one use.
    let tty = unsafe { Arc::from_raw(core::ptr::with_exposed_provenance::<Tty>(tty)) };
    tty.serve()
}

#[cfg(test)]
#[path = "tty_tests.rs"]
mod tests;
