//! Terminals: the line discipline, and the console on the serial line.

mod file;
mod foreground;
mod line_discipline;
#[cfg(all(test, target_os = "linux"))]
mod linux_comparison;
mod output;
pub mod pty;
mod received;
mod requests;
mod system_console;
mod termios;
mod tty;

pub use file::TtyFile;
pub use line_discipline::TtySignal;
pub use system_console::{init, open};
pub use tty::{Tty, WindowSize, Wire};
