//! Pipes (pipe(7)): a queue of bytes between those who hold its ends.

use super::anonymous;
use super::file::{File, Metadata, OpenFlags, PollEvents};
use super::inode::Inode;
use super::io::{KernelSink, Sink, Source};
use super::ring::Ring;
use crate::libc::errno::{Errno, SysResult};
use crate::libc::signal;
use crate::memory::user;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl::FIONREAD;
use smp::{Mutex, WaitQueue};

/// Writes of up to this many bytes are never mixed with others (PIPE_BUF).
pub const ATOMIC_WRITE: usize = 4096;
/// The capacity of a new pipe.
const DEFAULT_CAPACITY: usize = 64 * 1024;
/// The most that F_SETPIPE_SZ grants.
pub const MAX_CAPACITY: usize = 1024 * 1024;

struct State {
    ring: Ring,
    readers: usize,
    writers: usize,
    /// How often each end was opened: an open that waits for the other end sees a short visit too.
    reader_visits: u64,
    writer_visits: u64,
}

/// What both ends share.
pub struct Pipe {
    state: Mutex<State>,
    /// Woken when bytes or room appear, and when an end is opened or closed.
    changed: WaitQueue,
}

/// One end of a pipe, or with O_RDWR on a FIFO both.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    is_reader: bool,
    is_writer: bool,
    /// Writers that had come and gone when this end was opened: a reader of a FIFO is not told of
    /// a hang-up before its first writer.
    visits_at_open: u64,
    metadata: Metadata,
    inode: Option<Arc<dyn Inode>>,
}

impl Pipe {
    /// Makes a pipe without ends.
    pub const fn new() -> Self {
        Pipe {
            state: Mutex::new(State {
                ring: Ring::new(DEFAULT_CAPACITY),
                readers: 0,
                writers: 0,
                reader_visits: 0,
                writer_visits: 0,
            }),
            changed: WaitQueue::new(),
        }
    }

    /// Makes a pipe and its two ends: for reading, for writing (pipe(2)).
    pub fn pair() -> (Arc<PipeEnd>, Arc<PipeEnd>) {
        let pipe = Arc::new(Pipe::new());
        let metadata = anonymous::metadata(raw::S_IFIFO | 0o600);
        let reader = Arc::new(PipeEnd::new(pipe.clone(), true, false, metadata, None));
        let writer = Arc::new(PipeEnd::new(pipe, false, true, metadata, None));
        (reader, writer)
    }

    /// Opens an end of a FIFO; waits for the other end as fifo(7) says.
    pub fn open(
        self: &Arc<Self>,
        inode: Arc<dyn Inode>,
        flags: OpenFlags,
    ) -> Result<Arc<dyn File>, Errno> {
        let (is_reader, is_writer) = (flags.is_readable(), flags.is_writable());
        if !is_reader && !is_writer {
            return Err(Errno::EINVAL);
        }
        let end = {
            if is_writer && !is_reader && flags.is_nonblocking() && self.state.lock().readers == 0 {
                return Err(Errno::ENXIO);
            }
            PipeEnd::new(
                self.clone(),
                is_reader,
                is_writer,
                Metadata::default(),
                Some(inode),
            )
        };
        if is_reader != is_writer && !flags.is_nonblocking() {
            let start = {
                let state = self.state.lock();
                (state.reader_visits, state.writer_visits)
            };
            let has_partner = || {
                let state = self.state.lock();
                let is_met = if is_reader {
                    state.writers > 0 || state.writer_visits != start.1
                } else {
                    state.readers > 0 || state.reader_visits != start.0
                };
                is_met.then_some(())
            };
            self.changed
                .wait(None, true, has_partner)
                .map_err(|_| Errno::RESTART)?;
        }
        Ok(Arc::new(end))
    }

    /// Waits until `attempt` gives something; with a non-blocking end it is EAGAIN instead.
    fn wait<R>(
        &self,
        flags: OpenFlags,
        mut attempt: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R, Errno> {
        if flags.is_nonblocking() {
            return attempt(&mut self.state.lock()).ok_or(Errno::EAGAIN);
        }
        let result = self
            .changed
            .wait(None, true, || attempt(&mut self.state.lock()));
        result.map_err(|_| Errno::RESTART)
    }
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl PipeEnd {
    fn new(
        pipe: Arc<Pipe>,
        is_reader: bool,
        is_writer: bool,
        metadata: Metadata,
        inode: Option<Arc<dyn Inode>>,
    ) -> Self {
        let visits_at_open = {
            let mut state = pipe.state.lock();
            let before = state.writer_visits - state.writers as u64;
            state.readers += usize::from(is_reader);
            state.writers += usize::from(is_writer);
            state.reader_visits += u64::from(is_reader);
            state.writer_visits += u64::from(is_writer);
            before
        };
        pipe.changed.wake_all();
        PipeEnd {
            pipe,
            is_reader,
            is_writer,
            visits_at_open,
            metadata,
            inode,
        }
    }

    /// Tells whether both are ends of one pipe.
    pub fn is_same_pipe(&self, other: &PipeEnd) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// Returns how many bytes fit in now; `EPIPE` and the signal SIGPIPE if nobody can read them.
    pub fn room(&self) -> Result<usize, Errno> {
        let (room, readers) = {
            let state = self.pipe.state.lock();
            (state.ring.free(), state.readers)
        };
        if readers == 0 {
            signal::raise_in_current(raw::SIGPIPE);
            return Err(Errno::EPIPE);
        }
        Ok(room)
    }

    /// Waits for bytes, hands them to `give`, and puts back what that did not take; `buffer` is
    /// where they lie meanwhile (splice(2)).
    pub fn take_with(
        &self,
        buffer: &mut [u8],
        flags: OpenFlags,
        give: impl FnOnce(&[u8]) -> SysResult,
    ) -> SysResult {
        let count = self.pipe.wait(flags, |state| {
            if state.ring.is_empty() {
                return (state.writers == 0).then_some(Ok(0));
            }
            Some(state.ring.pop(&mut KernelSink::new(buffer)))
        })??;
        let given = give(&buffer[..count]);
        let left = count - given.unwrap_or(0);
        if left > 0 {
            self.pipe
                .state
                .lock()
                .ring
                .put_back(&buffer[count - left..count]);
        }
        self.pipe.changed.wake_all();
        given
    }

    /// Returns the capacity (F_GETPIPE_SZ).
    pub fn capacity(&self) -> usize {
        self.pipe.state.lock().ring.limit()
    }

    /// Changes the capacity to a power of two not below `wanted` (F_SETPIPE_SZ); returns it.
    pub fn set_capacity(&self, wanted: usize) -> SysResult {
        if wanted > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let capacity = wanted.max(ATOMIC_WRITE).next_power_of_two();
        if capacity > MAX_CAPACITY {
            return Err(Errno::EPERM);
        }
        if !self.pipe.state.lock().ring.set_limit(capacity) {
            return Err(Errno::EBUSY);
        }
        self.pipe.changed.wake_all();
        Ok(capacity)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        {
            let mut state = self.pipe.state.lock();
            state.readers -= usize::from(self.is_reader);
            state.writers -= usize::from(self.is_writer);
            if state.readers == 0 && state.writers == 0 {
                // Bytes that nobody can read any more are gone, also from a FIFO.
                state.ring = Ring::new(state.ring.limit());
            }
        }
        self.pipe.changed.wake_all();
    }
}

impl File for PipeEnd {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(match &self.inode {
            Some(inode) => inode.metadata(),
            None => self.metadata,
        })
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        self.inode.clone()
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        if to.remaining() == 0 {
            return Ok(0);
        }
        let (result, was_tight) = self.pipe.wait(flags, |state| {
            if state.ring.is_empty() {
                return (state.writers == 0).then_some((Ok(0), false));
            }
            let was_tight = state.ring.free() < ATOMIC_WRITE;
            Some((state.ring.pop(to), was_tight))
        })?;
        // Writers wait only when there is no room for an atomic write.
        if was_tight {
            self.pipe.changed.wake_all();
        }
        result
    }

    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        let total = from.remaining();
        if total == 0 {
            return Ok(0);
        }
        let mut done = 0;
        loop {
            let needs = if total <= ATOMIC_WRITE { total } else { 1 };
            let step = self.pipe.wait(flags, |state| {
                if state.readers == 0 {
                    return Some(Err(Errno::EPIPE));
                }
                (state.ring.free() >= needs).then(|| state.ring.push(from, usize::MAX))
            });
            match step.and_then(|step| step) {
                Ok(count) => {
                    done += count;
                    self.pipe.changed.wake_all();
                    if done == total {
                        return Ok(done);
                    }
                }
                Err(Errno::EPIPE) => {
                    signal::raise_in_current(raw::SIGPIPE);
                    return if done > 0 {
                        Ok(done)
                    } else {
                        Err(Errno::EPIPE)
                    };
                }
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn poll(&self) -> PollEvents {
        let state = self.pipe.state.lock();
        let mut events = PollEvents::empty();
        if self.is_reader {
            events.set(PollEvents::READABLE, !state.ring.is_empty());
            let had_writer = state.writer_visits > self.visits_at_open;
            events.set(PollEvents::HUP, state.writers == 0 && had_writer);
        }
        if self.is_writer {
            events.set(PollEvents::WRITABLE, state.ring.free() >= ATOMIC_WRITE);
            events.set(PollEvents::ERR, state.readers == 0);
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.changed)
    }

    fn reopen(&self, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        let (is_reader, is_writer) = (flags.is_readable(), flags.is_writable());
        Ok(Arc::new(PipeEnd::new(
            self.pipe.clone(),
            is_reader,
            is_writer,
            self.metadata,
            self.inode.clone(),
        )))
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let waiting = self.pipe.state.lock().ring.len() as i32;
        user::write_user(argument, &waiting).map_err(|_| Errno::EFAULT)?;
        Ok(0)
    }
}
