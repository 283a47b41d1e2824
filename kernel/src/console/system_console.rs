//! The console of the machine: the terminal on the first serial port, or what stands for it.

use alloc::boxed::Box;
use alloc::sync::Arc;

use spin::Once;

use super::file::TtyFile;
use super::foreground;
use super::line_discipline::TtySignal;
use super::tty::{Tty, WindowSize, Wire};
use crate::fs::file::{File, OpenFlags};
use crate::fs::inode::Inode;
use crate::libc::errno::Errno;
use crate::libc::signal::{self, Signal, SignalInfo};
use crate::{arch, cmdline, log};

/// The size of a terminal that says nothing about itself.
const DEFAULT_SIZE: WindowSize = WindowSize::of_text(80, 24);

static CONSOLE: Once<Arc<Tty>> = Once::new();

/// The serial port.
struct SerialLine;

impl Wire for SerialLine {
    fn receive(&self) -> Option<u8> {
        arch::serial::try_read()
    }

    fn send(&self, bytes: &[u8]) {
        log::write_console(bytes);
    }

    fn signal(&self, signal: TtySignal) {
        // The console is the process's terminal.
        foreground::send_to_process(signal);
    }

    fn resized(&self) {
        // Fails only when there is no process to tell.
        let signal = Signal::SIGWINCH;
        let _ = signal::to_process(signal, SignalInfo::from_kernel(signal));
    }
}

fn console() -> &'static Arc<Tty> {
    CONSOLE.call_once(|| Tty::new(Box::new(SerialLine), DEFAULT_SIZE))
}

/// Starts the console's thread and its input; `console.size=COLUMNSxROWS` on the kernel command
/// line says how large the terminal is.
pub fn init() -> Result<(), Errno> {
    if let Some(text) = cmdline::options().get("console.size") {
        match parse_size(text) {
            Some(size) => console().set_size(size),
            None => log::warn!("kernel.console", "console.size={text}: not COLUMNSxROWS"),
        }
    }
    console().start("console")?;
    if let Err(error) = arch::serial::listen(on_input_interrupt) {
        log::error!(
            "kernel.console",
            "the serial port has no interrupt, so nothing typed is seen: {error:?}"
        );
    }
    Ok(())
}

fn parse_size(text: &str) -> Option<WindowSize> {
    let (columns, rows) = text.split_once('x')?;
    let (columns, rows) = (columns.parse().ok()?, rows.parse().ok()?);
    (columns > 0 && rows > 0).then(|| WindowSize::of_text(columns, rows))
}

/// Takes what the serial port has received: the port's interrupt handler.
fn on_input_interrupt() {
    crate::libc::random::add_interrupt_jitter(arch::entropy::cycle_counter());
    if let Some(console) = CONSOLE.get() {
        console.pump();
    }
}

/// Opens the console: `/dev/console`, and `/dev/tty` of the session on it.
pub fn open(inode: Arc<dyn Inode>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    Ok(Arc::new(TtyFile::new(console().clone(), inode)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_columns_by_rows() {
        assert_eq!(parse_size("132x43"), Some(WindowSize::of_text(132, 43)));
        for wrong in ["80", "80x", "x24", "0x24", "80x24x1", "99999x24", "-1x24"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
