//! A terminal as an open file, and the requests of tty_ioctl(2).

use alloc::sync::Arc;

use linux_raw_sys::{general as raw, ioctl};
use smp::WaitQueue;

use super::termios::{Control, Termios};
use super::tty::{Tty, WindowSize};
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::inode::Inode;
use crate::fs::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};
use crate::memory::user::{read_user, write_user};
use crate::process;

/// A terminal as a file.
pub struct TtyFile {
    tty: &'static Tty,
    inode: Arc<dyn Inode>,
}

/// `TIOCGSID`.
const GET_SESSION: u32 = 0x5429;
/// `TIOCSTI` is refused as by a Linux that has its legacy form switched off.
const FAKE_INPUT: u32 = ioctl::TIOCSTI;

impl TtyFile {
    /// `tty`, opened by way of `inode`.
    pub fn new(tty: &'static Tty, inode: Arc<dyn Inode>) -> Self {
        Self { tty, inode }
    }

    /// There is one process group in the session, always in the foreground.
    fn set_foreground(&self, group: i32) -> SysResult {
        if group < 0 {
            return Err(Errno::EINVAL);
        }
        if group as u32 != process::pid() {
            return Err(Errno::EPERM);
        }
        Ok(0)
    }

    fn set_termios(&self, address: usize, flushes: bool) -> SysResult {
        let termios = Termios::from_bytes(&read_user(address)?);
        self.tty.set_termios(termios, flushes);
        Ok(0)
    }

    fn flush(&self, which: usize) -> SysResult {
        match which as u32 {
            raw::TCIFLUSH | raw::TCIOFLUSH => {
                self.tty.flush_input();
                Ok(0)
            }
            // What was written has been sent.
            raw::TCOFLUSH => Ok(0),
            _ => Err(Errno::EINVAL),
        }
    }

    fn control_flow(&self, action: usize) -> SysResult {
        let send = |control| {
            if let Some(byte) = self.tty.termios().control_char(control) {
                self.tty.send_byte(byte);
            }
        };
        match action as u32 {
            raw::TCOOFF => self.tty.set_stopped(true),
            raw::TCOON => self.tty.set_stopped(false),
            raw::TCIOFF => send(Control::Stop),
            raw::TCION => send(Control::Start),
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }
}

impl File for TtyFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        self.tty.read(to, flags)
    }

    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        self.tty.write(from, flags)
    }

    fn poll(&self) -> PollEvents {
        self.tty.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.tty.wait_queue())
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        match request {
            ioctl::TCGETS => write_user(argument, &self.tty.termios().to_bytes())?,
            // Output is sent when a write returns, so waiting for it to drain takes no time.
            ioctl::TCSETS | ioctl::TCSETSW => return self.set_termios(argument, false),
            ioctl::TCSETSF => return self.set_termios(argument, true),
            ioctl::TIOCGWINSZ => write_user(argument, &self.tty.size().words)?,
            ioctl::TIOCSWINSZ => self.tty.set_size(WindowSize { words: read_user(argument)? }),
            ioctl::FIONREAD => write_user(argument, &(self.tty.available() as i32))?,
            ioctl::TIOCOUTQ => write_user(argument, &0i32)?,
            ioctl::TCFLSH => return self.flush(argument),
            ioctl::TCXONC => return self.control_flow(argument),
            // A break cannot be sent on this line; what waits for output to drain need not.
            ioctl::TCSBRK | ioctl::TCSBRKP => {}
            ioctl::TIOCGPGRP => write_user(argument, &process::pid())?,
            ioctl::TIOCSPGRP => return self.set_foreground(read_user(argument)?),
            GET_SESSION => write_user(argument, &process::pid())?,
            // It is the session's terminal since the session began.
            ioctl::TIOCSCTTY => {}
            FAKE_INPUT => return Err(Errno::EIO),
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn label(&self) -> &'static str {
        "tty"
    }
}
