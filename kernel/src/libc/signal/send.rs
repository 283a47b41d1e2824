//! Sending signals: to a thread, or to the process, which then chooses a thread.

use smp::{Thread, ThreadRef};

use super::info::SignalInfo;
use super::set::{Signal, SignalSet};
use crate::libc::errno::Errno;
use crate::process::{self, PROCESS, ThreadData};

/// Sends `signal` to one thread; see tgkill(2).
pub fn to_thread(thread: &ThreadRef, signal: Signal, info: SignalInfo) -> Result<(), Errno> {
    let data = ThreadData::of(thread).ok_or(Errno::ESRCH)?;
    let must_look = {
        let mut process = PROCESS.signals.lock();
        let mut state = data.signals.lock();
        process
            .send_to_thread(&mut state, signal, info)
            .map_err(|_| Errno::EAGAIN)?
    };
    if must_look {
        thread.interrupt();
    }
    Ok(())
}

/// Sends the current thread a signal that its own call earned: `SIGPIPE`, `SIGXFSZ`. Nothing
/// happens in a kernel thread.
pub fn raise_in_current(number: u32) {
    let current = smp::current_ref();
    if let Some(signal) = Signal::new(number as usize) {
        // A standard signal never finds the queue full, and a kernel thread has no signals.
        let _ = to_thread(
            &current,
            signal,
            SignalInfo::from_user(signal, process::PID as i32),
        );
    }
}

/// Sends `signal` to the process; see kill(2). The main thread takes it unless it blocks it,
/// then any other thread that does not.
pub fn to_process(signal: Signal, info: SignalInfo) -> Result<(), Errno> {
    let threads = process::threads();
    let main = threads
        .iter()
        .find(|thread| thread.tid() == process::PID)
        .or_else(|| threads.first());
    let Some(main) = main else {
        return Err(Errno::ESRCH);
    };
    let must_look = {
        let mut process = PROCESS.signals.lock();
        let state = data_of(main).signals.lock();
        process
            .send(&state, signal, info)
            .map_err(|_| Errno::EAGAIN)?
    };
    if must_look {
        choose(main, &threads, signal);
    }
    Ok(())
}

/// Has the best thread look for `signal`, which is pending for the process. If all block it, it
/// stays pending until one does not any more.
fn choose(main: &ThreadRef, threads: &[ThreadRef], signal: Signal) {
    let awaits = |thread: &&ThreadRef| data_of(thread).signals.lock().awaited.contains(signal);
    let accepts = |thread: &&ThreadRef| data_of(thread).signals.lock().accepts(signal);
    // A thread that waits for just this signal (sigwait) goes first: nothing else would end its wait.
    let chosen = threads
        .iter()
        .find(awaits)
        .or_else(|| core::iter::once(main).chain(threads).find(accepts));
    if let Some(thread) = chosen {
        thread.interrupt();
    }
}

/// Has other threads look for those signals of the process that `thread` would have taken, but
/// now blocks or leaves behind.
pub fn hand_over(thread: &Thread, left: SignalSet) {
    let mut waiting = PROCESS.signals.lock().pending.members().intersection(left);
    if waiting.is_empty() {
        return;
    }
    let mut threads = process::threads();
    threads.retain(|other| other.tid() != thread.tid());
    let Some(first) = threads.first() else { return };
    while let Some(signal) = waiting.first() {
        waiting.remove(signal);
        choose(first, &threads, signal);
    }
}

/// Changes the mask of the current thread; returns the old one.
pub fn set_mask(mask: SignalSet) -> SignalSet {
    let current = smp::current();
    let data = data_of(&current);
    let old = data.signals.lock().set_mask(mask);
    // What is unblocked now and pending is delivered before the call returns.
    current.set_notify(smp::NOTIFY_SIGNAL);
    let newly_blocked = mask.without(old);
    if !newly_blocked.is_empty() {
        hand_over(&current, newly_blocked);
    }
    old
}

/// The data of a thread that is known to be the process's.
pub(super) fn data_of(thread: &Thread) -> &ThreadData {
    ThreadData::of(thread).expect("a thread of the process")
}
