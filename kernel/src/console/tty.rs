//! A terminal: a line of bytes to and from the outside, seen through a line discipline.
//!
//! ```text
//!   interrupt ─► received (ring) ─► tty thread ─► line discipline ─► readers
//!                                      │ echo, signals
//!   writers ──► line discipline ──► output
//! ```
//! The interrupt only moves bytes into the ring. If the ring is full it leaves them in the device,
//! whose own flow control then holds the sender back: nothing is lost. The thread does the rest.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use smp::{Mutex, NOTIFY_SIGNAL, SpinLock, ThreadRef, WaitError, WaitQueue};

use super::line_discipline::{LineDiscipline, Reaction, TtySignal};
use super::received::Received;
use super::termios::{ICANON, Termios};
use crate::fs::file::{OpenFlags, PollEvents};
use crate::fs::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};
use crate::libc::signal::{self, Signal, SignalInfo};
use crate::libc::time::monotonic_ns;
use crate::kernel_thread;

/// Output goes through the modes in pieces of this size.
const OUTPUT_PIECE: usize = 512;

/// The most that one read returns.
const MAX_READ: usize = 4096;

/// The device behind a terminal.
pub struct Wire {
    /// Takes a received byte, if there is one.
    pub receive: fn() -> Option<u8>,
    /// Sends bytes; may wait for the device.
    pub send: fn(&[u8]),
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
        Self { words: [rows, columns, 0, 0] }
    }
}

/// A terminal.
pub struct Tty {
    wire: Wire,
    received: SpinLock<Received>,
    line: SpinLock<LineDiscipline>,
    /// Woken when there may be more to read, or output may go on, or the modes changed.
    changed: WaitQueue,
    /// Held by one writer at a time, so that what one call writes stays together.
    writing: Mutex<()>,
    size: SpinLock<WindowSize>,
    thread: SpinLock<Option<ThreadRef>>,
    /// The tty thread waits for a reader to make room.
    is_throttled: AtomicBool,
}

impl Tty {
    /// A terminal on `wire`; nothing is received before [`Tty::start`].
    pub const fn new(wire: Wire, size: WindowSize) -> Self {
        Self {
            wire,
            received: SpinLock::new(Received::new()),
            line: SpinLock::new(LineDiscipline::new()),
            changed: WaitQueue::new(),
            writing: Mutex::new(()),
            size: SpinLock::new(size),
            thread: SpinLock::new(None),
            is_throttled: AtomicBool::new(false),
        }
    }

    /// Starts the terminal's thread. Fails for want of memory only.
    pub fn start(&'static self, name: &str) -> Result<(), Errno> {
        let this = core::ptr::from_ref(self).expose_provenance();
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
                let Some(byte) = (self.wire.receive)() else { break };
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
            // Said before looking, so that a reader which makes room in between wakes us.
            self.is_throttled.store(true, Ordering::SeqCst);
            let is_full = self.line.lock().is_full();
            self.is_throttled.store(is_full, Ordering::SeqCst);
            let mut batch = [0; 64];
            let count = if is_full { 0 } else { self.received.lock().pop(&mut batch) };
            if count == 0 {
                smp::park(None, false);
                continue;
            }
            self.process(&batch[..count], &mut echo);
            // There is room again for what the device held back.
            self.pump();
        }
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
                (self.wire.send)(echo);
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
        let signal = match reaction.signal {
            None => return,
            Some(TtySignal::Interrupt) => Signal::SIGINT,
            Some(TtySignal::Quit) => Signal::SIGQUIT,
            Some(TtySignal::Suspend) => Signal::SIGTSTP,
        };
        // Fails only when there is no process to tell.
        let _ = signal::to_process(signal, SignalInfo::from_kernel(signal));
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
        let minimum = if termios.time_ns() == 0 { termios.minimum().max(1) } else { 1 };
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, line.is_readable(minimum));
        events.set(PollEvents::WRITABLE, !line.is_stopped());
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
            if is_canonical && !line.is_readable(1) {
                continue;
            }
            break line.read(&mut buffer);
        };
        if self.is_throttled.swap(false, Ordering::AcqRel) {
            self.unpark();
        }
        to.put(&buffer[..count])?;
        Ok(count)
    }

    /// Waits until a read of `wanted` bytes may return, which may be without any.
    fn wait_readable(&self, wanted: usize, is_nonblocking: bool) -> Result<(), Errno> {
        // `None`: no waiting for a minimum; the time-out alone counts.
        let is_ready = |line: &LineDiscipline| {
            let minimum = line.termios().minimum().min(wanted).max(1);
            line.is_readable(minimum)
        };
        let (is_canonical, minimum, time_ns) = {
            let line = self.line.lock();
            if is_ready(&line) {
                return Ok(());
            }
            let termios = line.termios();
            (termios.has_local(ICANON), termios.minimum(), termios.time_ns())
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
            return self.changed.wait(None, true, ready).map_err(|_| Errno::RESTART);
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
        let _writing = self.writing.lock();
        let mut piece = [0; OUTPUT_PIECE];
        let mut out = Vec::with_capacity(2 * OUTPUT_PIECE);
        let mut written = 0;
        while from.remaining() > 0 {
            let may_go_on = self.wait_unstopped(flags.is_nonblocking());
            // A signal ends a long write between pieces.
            let has_signal = written > 0 && smp::current().notify() & NOTIFY_SIGNAL != 0 && signal::has_effect();
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
            (self.wire.send)(&out);
            out.clear();
            written += len;
        }
        Ok(written)
    }

    fn wait_unstopped(&self, is_nonblocking: bool) -> Result<(), Errno> {
        let unstopped = || (!self.line.lock().is_stopped()).then_some(());
        if unstopped().is_some() {
            return Ok(());
        }
        if is_nonblocking {
            return Err(Errno::EAGAIN);
        }
        self.changed.wait(None, true, unstopped).map_err(|_| Errno::RESTART)
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
        (self.wire.send)(&[byte]);
    }

    /// The window's size.
    pub fn size(&self) -> WindowSize {
        *self.size.lock()
    }

    /// Changes the window's size, which programs learn by SIGWINCH.
    pub fn set_size(&self, size: WindowSize) {
        let old = core::mem::replace(&mut *self.size.lock(), size);
        if old != size {
            let signal = Signal::SIGWINCH;
            // Fails only when there is no process to tell.
            let _ = signal::to_process(signal, SignalInfo::from_kernel(signal));
        }
    }
}

extern "C" fn run(tty: usize) -> ! {
    // SAFETY: `Tty::start` passes a terminal that lives for ever.
    let tty = unsafe { &*core::ptr::with_exposed_provenance::<Tty>(tty) };
    tty.serve()
}

#[cfg(test)]
#[path = "tty_tests.rs"]
mod tests;
