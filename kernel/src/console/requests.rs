//! The requests of tty_ioctl(2) that a terminal serves.

use linux_raw_sys::{general as raw, ioctl};

use super::termios::{Control, Termios};
use super::tty::{Tty, WindowSize};
use crate::libc::errno::{Errno, SysResult};
use crate::memory::user::{read_user, write_user};
use crate::process;

/// `TIOCGSID`.
const GET_SESSION: u32 = 0x5429;

/// Serves one request.
pub fn ioctl(tty: &Tty, request: u32, argument: usize) -> SysResult {
    match request {
        ioctl::TCGETS => write_user(argument, &tty.termios().to_bytes())?,
        // Output is sent when a write returns, so waiting for it to drain takes no time.
        ioctl::TCSETS | ioctl::TCSETSW => set_termios(tty, argument, false)?,
        ioctl::TCSETSF => set_termios(tty, argument, true)?,
        ioctl::TIOCGWINSZ => write_user(argument, &tty.size().words)?,
        ioctl::TIOCSWINSZ => tty.set_size(WindowSize {
            words: read_user(argument)?,
        }),
        ioctl::FIONREAD => write_user(argument, &(tty.available() as i32))?,
        ioctl::TIOCOUTQ => write_user(argument, &0i32)?,
        ioctl::TCFLSH => flush(tty, argument)?,
        ioctl::TCXONC => control_flow(tty, argument)?,
        // A break cannot be sent on these lines; what waits for output to drain need not.
        ioctl::TCSBRK | ioctl::TCSBRKP => {}
        ioctl::TIOCGPGRP => write_user(argument, &foreground(tty))?,
        ioctl::TIOCSPGRP => set_foreground(tty, read_user(argument)?)?,
        GET_SESSION => write_user(argument, &process::PID)?,
        // It is the session's terminal since the session began.
        ioctl::TIOCSCTTY => {}
        // Refused as by a Linux that has this old form of input switched off.
        ioctl::TIOCSTI => return Err(Errno::EIO),
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

fn set_termios(tty: &Tty, address: usize, flushes: bool) -> Result<(), Errno> {
    tty.set_termios(Termios::from_bytes(&read_user(address)?), flushes);
    Ok(())
}

/// The session's one process, unless one of its threads was chosen.
fn foreground(tty: &Tty) -> u32 {
    match tty.foreground() {
        0 => process::PID,
        group => group,
    }
}

/// There is one process group in the session; the id of a thread names that thread alone.
fn set_foreground(tty: &Tty, group: i32) -> Result<(), Errno> {
    let Ok(group) = u32::try_from(group) else {
        return Err(Errno::EINVAL);
    };
    if process::thread(group).is_none() {
        return Err(Errno::EPERM);
    }
    tty.set_foreground(group);
    Ok(())
}

fn flush(tty: &Tty, which: usize) -> Result<(), Errno> {
    match which as u32 {
        raw::TCIFLUSH | raw::TCIOFLUSH => tty.flush_input(),
        // What was written has been sent.
        raw::TCOFLUSH => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn control_flow(tty: &Tty, action: usize) -> Result<(), Errno> {
    let send = |control| {
        if let Some(byte) = tty.termios().control_char(control) {
            tty.send_byte(byte);
        }
    };
    match action as u32 {
        raw::TCOOFF => tty.set_stopped(true),
        raw::TCOON => tty.set_stopped(false),
        raw::TCIOFF => send(Control::Stop),
        raw::TCION => send(Control::Start),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
