//! Whom the signals go to that are typed at a terminal: the process, or one thread of it.
//!
//! On Linux that is the foreground process group (tcsetpgrp(3)). Here is one process, whose
//! sessions are threads, so the id of a thread, too, names a group: of that thread alone.

use super::line_discipline::TtySignal;
use crate::libc::signal::{self, Signal, SignalInfo};
use crate::process;

/// Sends what was typed to `group`; a thread that has ended gets nothing.
pub fn send(group: u32, typed: TtySignal) {
    // Each fails only when there is nobody to tell.
    if group == process::PID {
        let signal = number(typed, Signal::SIGINT);
        let _ = signal::to_process(signal, SignalInfo::from_kernel(signal));
    } else if let Some(thread) = process::thread(group) {
        let signal = number(typed, Signal::THREAD_INTERRUPT);
        let _ = signal::to_thread(&thread, signal, SignalInfo::from_kernel(signal));
    }
}

fn number(typed: TtySignal, interrupt: Signal) -> Signal {
    match typed {
        TtySignal::Interrupt => interrupt,
        TtySignal::Quit => Signal::SIGQUIT,
        TtySignal::Suspend => Signal::SIGTSTP,
    }
}
