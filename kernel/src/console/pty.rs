//! Pseudo-terminals: a terminal whose other side is a file; see pty(7).
//!
//! `/dev/ptmx` makes one and opens its master; `/dev/pts/N` opens the terminal itself. What is
//! written to the master is typed, what the terminal sends is read from the master.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use linux_raw_sys::{general as raw, ioctl};
use smp::{SpinLock, WaitQueue};
use spin::Once;

use super::line_discipline::TtySignal;
use super::requests;
use super::tty::{Tty, WindowSize, Wire};
use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::inode::Inode;
use crate::fs::io::{Sink, Source};
use crate::fs::tmpfs::Node;
use crate::libc::errno::{Errno, SysResult};
use crate::memory::user::{read_user, write_user};

/// The most pseudo-terminals at once.
const MAX_PTYS: u32 = 256;

/// The device number of the terminals: this, then their own number.
const SLAVE_MAJOR: u64 = 136;

/// Output that waits for the master to read before writers wait.
const MAX_OUTPUT: usize = 64 * 1024;

/// `TIOCGPTN`, `TIOCSPTLCK`, `TIOCGPTLCK`, `TIOCGPTPEER`.
const GET_NUMBER: u32 = 0x8004_5430;
const SET_LOCK: u32 = 0x4004_5431;
const GET_LOCK: u32 = 0x8004_5439;
const OPEN_SLAVE: u32 = 0x5441;

static PTYS: SpinLock<BTreeMap<u32, Weak<Pty>>> = SpinLock::new(BTreeMap::new());

/// `/dev/pts`.
static DIRECTORY: Once<Arc<dyn Inode>> = Once::new();

/// One pseudo-terminal.
struct Pty {
    number: u32,
    tty: Arc<Tty>,
    output: Arc<Output>,
    /// Opening `/dev/pts/N` fails until the master says otherwise (unlockpt(3)).
    is_locked: AtomicBool,
    /// Open files of the terminal's side.
    slaves: AtomicUsize,
    /// The terminal's side has been open.
    had_slave: AtomicBool,
}

/// What the terminal has sent and the master has not read.
struct Output {
    bytes: SpinLock<VecDeque<u8>>,
    /// Woken when the master may read or write again.
    changed: WaitQueue,
}

struct OutputWire(Arc<Output>);

impl Wire for OutputWire {
    fn room(&self) -> usize {
        MAX_OUTPUT.saturating_sub(self.0.bytes.lock().len())
    }

    fn send(&self, bytes: &[u8]) {
        self.0.bytes.lock().extend(bytes);
        self.0.changed.wake_all();
    }

    /// Nobody's session has it for its terminal.
    fn signal(&self, _: TtySignal) {}

    fn resized(&self) {}

    fn input_read(&self) {
        self.0.changed.wake_all();
    }
}

/// Keeps the directory in which terminals appear.
pub fn set_directory(directory: Arc<dyn Inode>) {
    DIRECTORY.call_once(|| directory);
}

/// Opens `/dev/ptmx`: makes a pseudo-terminal and opens its master.
pub fn open_master(inode: Arc<dyn Inode>, _: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    let output = Arc::new(Output {
        bytes: SpinLock::new(VecDeque::new()),
        changed: WaitQueue::new(),
    });
    let tty = Tty::new(
        Box::new(OutputWire(output.clone())),
        WindowSize::of_text(0, 0),
    );
    let pty = {
        let mut ptys = PTYS.lock();
        let number = (0..MAX_PTYS)
            .find(|number| !ptys.contains_key(number))
            .ok_or(Errno::ENOSPC)?;
        let pty = Arc::new(Pty {
            number,
            tty,
            output,
            is_locked: AtomicBool::new(true),
            slaves: AtomicUsize::new(0),
            had_slave: AtomicBool::new(false),
        });
        ptys.insert(number, Arc::downgrade(&pty));
        pty
    };
    let master = Arc::new(Master {
        pty: pty.clone(),
        inode,
    });
    if let Some(directory) = DIRECTORY
        .get()
        .and_then(|inode| inode.downcast_ref::<Node>())
    {
        let device = SLAVE_MAJOR << 8 | u64::from(pty.number);
        directory.add_device(&pty.number.to_string(), 0o620, device, open_slave)?;
    }
    Ok(master)
}

/// Opens `/dev/pts/N`.
fn open_slave(inode: Arc<dyn Inode>, _: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    let number = inode.metadata().represents as u32 & 0xff;
    let pty = PTYS
        .lock()
        .get(&number)
        .and_then(Weak::upgrade)
        .ok_or(Errno::EIO)?;
    if pty.is_locked.load(Ordering::Acquire) {
        return Err(Errno::EIO);
    }
    Ok(Arc::new(Slave::new(pty, inode)))
}

impl Pty {
    fn is_abandoned(&self) -> bool {
        self.had_slave.load(Ordering::Acquire) && self.slaves.load(Ordering::Acquire) == 0
    }
}

/// The master's side as a file.
struct Master {
    pty: Arc<Pty>,
    inode: Arc<dyn Inode>,
}

impl Drop for Master {
    fn drop(&mut self) {
        PTYS.lock().remove(&self.pty.number);
        if let Some(directory) = DIRECTORY.get() {
            let name: String = self.pty.number.to_string();
            // It may have been removed by hand.
            let _ = directory.unlink(name.as_bytes(), false);
        }
        self.pty.tty.hang_up();
    }
}

impl Master {
    /// Takes what was sent; `None` while there is nothing and may be something later.
    fn take(&self, to: &mut [u8]) -> Option<Result<usize, Errno>> {
        let mut bytes = self.pty.output.bytes.lock();
        let count = bytes.len().min(to.len());
        if count == 0 {
            return self.pty.is_abandoned().then_some(Err(Errno::EIO));
        }
        for (slot, byte) in to.iter_mut().zip(bytes.drain(..count)) {
            *slot = byte;
        }
        Some(Ok(count))
    }

    fn wait<R>(
        &self,
        flags: OpenFlags,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Result<R, Errno> {
        if flags.is_nonblocking() {
            return attempt().ok_or(Errno::EAGAIN);
        }
        self.pty
            .output
            .changed
            .wait(None, true, attempt)
            .map_err(|_| Errno::RESTART)
    }

    fn flush(&self, which: usize) -> Result<(), Errno> {
        let which = which as u32;
        if which > raw::TCIOFLUSH {
            return Err(Errno::EINVAL);
        }
        // The master's input is what the terminal sent, its output what was typed.
        if which != raw::TCOFLUSH {
            self.pty.output.bytes.lock().clear();
            self.pty.tty.output_taken();
        }
        if which != raw::TCIFLUSH {
            self.pty.tty.flush_input();
        }
        Ok(())
    }

    fn open_slave(&self, flags: usize) -> SysResult {
        let flags = OpenFlags::from_bits_truncate(flags as u32);
        let directory = DIRECTORY.get().ok_or(Errno::EIO)?;
        let inode = directory.lookup(self.pty.number.to_string().as_bytes())?;
        let slave = Arc::new(Slave::new(self.pty.clone(), inode));
        FILES.insert(
            Description::new(slave, flags),
            flags.contains(OpenFlags::CLOEXEC),
            0,
        )
    }
}

impl File for Master {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        let mut buffer = alloc::vec![0; to.remaining().min(MAX_OUTPUT)];
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.wait(flags, || self.take(&mut buffer))??;
        self.pty.tty.output_taken();
        to.put(&buffer[..count])?;
        Ok(count)
    }

    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        let mut piece = [0; 64];
        let mut written = 0;
        while from.remaining() > 0 {
            let has_room = self.wait(flags, || (!self.pty.tty.is_full()).then_some(()));
            match has_room {
                Err(_) if written > 0 => break,
                Err(errno) => return Err(errno),
                Ok(()) => {}
            }
            let len = piece.len().min(from.remaining());
            from.take(&mut piece[..len])?;
            self.pty.tty.input(&piece[..len]);
            written += len;
        }
        Ok(written)
    }

    fn poll(&self) -> PollEvents {
        let has_output = !self.pty.output.bytes.lock().is_empty();
        let is_abandoned = self.pty.is_abandoned();
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, has_output);
        events.set(PollEvents::WRITABLE, !self.pty.tty.is_full());
        events.set(PollEvents::HUP, is_abandoned);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pty.output.changed)
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        match request {
            GET_NUMBER => write_user(argument, &self.pty.number)?,
            SET_LOCK => self
                .pty
                .is_locked
                .store(read_user::<i32>(argument)? != 0, Ordering::Release),
            GET_LOCK => write_user(
                argument,
                &i32::from(self.pty.is_locked.load(Ordering::Acquire)),
            )?,
            OPEN_SLAVE => return self.open_slave(argument),
            ioctl::FIONREAD => write_user(argument, &(self.pty.output.bytes.lock().len() as i32))?,
            ioctl::TCFLSH => self.flush(argument)?,
            _ => return requests::ioctl(&self.pty.tty, request, argument),
        }
        Ok(0)
    }

    fn label(&self) -> &'static str {
        "ptmx"
    }
}

/// The terminal's side as a file.
struct Slave {
    pty: Arc<Pty>,
    inode: Arc<dyn Inode>,
}

impl Slave {
    fn new(pty: Arc<Pty>, inode: Arc<dyn Inode>) -> Self {
        pty.slaves.fetch_add(1, Ordering::AcqRel);
        pty.had_slave.store(true, Ordering::Release);
        Self { pty, inode }
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        self.pty.slaves.fetch_sub(1, Ordering::AcqRel);
        // A master that waits for more finds the end.
        self.pty.output.changed.wake_all();
    }
}

impl File for Slave {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        self.pty.tty.read(to, flags)
    }

    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        self.pty.tty.write(from, flags)
    }

    fn poll(&self) -> PollEvents {
        self.pty.tty.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.pty.tty.wait_queue())
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        requests::ioctl(&self.pty.tty, request, argument)
    }

    fn label(&self) -> &'static str {
        "pts"
    }
}
