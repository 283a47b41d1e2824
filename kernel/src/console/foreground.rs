//! Whom the signals go to that are typed at a terminal: the process, or one thread of it.
//!
//! On Linux that is the foreground process group (tcsetpgrp(3)). Here is one process, whose
//! sessions are threads, so the id of a thread names a group: of that thread alone. That holds for
//! the main thread, too, once its id, which is that of the process, has been chosen.

use super::line_discipline::TtySignal;
use crate::libc::signal::{self, Signal, SignalInfo};
use crate::process;

/// Sends what was typed to the thread `group`; one that has ended gets nothing.
pub fn send(group: u32, typed: TtySignal) {
    let Some(thread) = process::thread(group) else {
        return;
    };
    // Python looks for SIGINT in its main thread.
    let interrupt = if group == process::PID {
        Signal::SIGINT
    } else {
        Signal::THREAD_INTERRUPT
    };
    let signal = number(typed, interrupt);
    let _ = signal::to_thread(&thread, signal, SignalInfo::from_kernel(signal));
}

/// Sends what was typed to the process: any thread takes it that does not block it.
pub fn send_to_process(typed: TtySignal) {
    let signal = number(typed, Signal::SIGINT);
    // Fails only when there is no process to tell.
    let _ = signal::to_process(signal, SignalInfo::from_kernel(signal));
}

fn number(typed: TtySignal, interrupt: Signal) -> Signal {
    match typed {
        TtySignal::Interrupt => interrupt,
        TtySignal::Quit => Signal::SIGQUIT,
        TtySignal::Suspend => Signal::SIGTSTP,
    }
}
