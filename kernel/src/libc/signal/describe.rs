//! The signal lines of `/proc/self/status`; see proc_pid_status(5).

use alloc::format;
use alloc::string::String;

use smp::Thread;

use super::action::Disposition;
use super::set::{Signal, SignalSet};
use crate::process::{PROCESS, ThreadData};

/// Appends the lines about `thread`.
pub fn describe(thread: &Thread, text: &mut String) {
    let Some(data) = ThreadData::of(thread) else {
        return;
    };
    let (shared, ignored, caught) = {
        let process = PROCESS.signals.lock();
        let (mut ignored, mut caught) = (SignalSet::EMPTY, SignalSet::EMPTY);
        for signal in (1..=Signal::COUNT).filter_map(Signal::new) {
            let action = process.actions.get(signal);
            match action.disposition(signal) {
                Disposition::Handle(_) => caught.insert(signal),
                Disposition::Ignore if action.is_explicit() => ignored.insert(signal),
                Disposition::Ignore | Disposition::Default(_) => {}
            }
        }
        (process.pending.members(), ignored, caught)
    };
    let (own, blocked) = {
        let state = data.signals.lock();
        (state.pending.members(), state.mask)
    };
    let lines = [
        ("SigPnd", own),
        ("ShdPnd", shared),
        ("SigBlk", blocked),
        ("SigIgn", ignored),
        ("SigCgt", caught),
    ];
    for (name, set) in lines {
        text.push_str(&format!("{name}:\t{:016x}\n", set.bits()));
    }
}
