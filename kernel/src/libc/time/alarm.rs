//! Things that happen at a point in time: one kernel thread sleeps until the next of them.
//!
//! Timers of the C interface (setitimer, timer_create, timerfd) are few and coarse; a thread
//! makes their effects (sending signals, waking queues) free of interrupt context. It starts
//! with the first alarm that is set.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use smp::{SpinLock, ThreadRef};

use super::clock::monotonic_ns;
use crate::kernel_thread;

/// What an alarm does.
pub trait Expire: Send + Sync {
    /// Runs in the alarm thread once the deadline has passed.
    fn expired(&self);

    /// Runs when the time of day was set: deadlines on it have moved.
    fn clock_was_set(&self) {}
}

/// One thing that can happen at a time; setting it again moves it.
pub struct Alarm {
    id: u64,
}

struct Alarms {
    /// By deadline; the id tells alarms of one deadline apart.
    due: BTreeMap<(u64, u64), Weak<dyn Expire>>,
    /// The deadline that each alarm is in `due` with.
    set: BTreeMap<u64, u64>,
}

static ALARMS: SpinLock<Alarms> = SpinLock::new(Alarms {
    due: BTreeMap::new(),
    set: BTreeMap::new(),
});
static THREAD: SpinLock<Option<ThreadRef>> = SpinLock::new(None);
static IS_STARTED: AtomicBool = AtomicBool::new(false);
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Alarm {
    /// An alarm that is not set.
    pub fn new() -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Sets the alarm to what a schedule says: `next` is its next expiry, `deadline` when that is.
    ///
    /// Whoever changes a schedule calls this afterwards. Two may do so at once: the alarm thread,
    /// whose timer has just run out, and the thread that its signal woke, which starts the timer
    /// again. The first could find nothing to wait for, be overtaken by the second, and then cancel
    /// what that one has set. So each looks again after it has set the alarm: the last to set
    /// it found the schedule unchanged afterwards. A lock around both steps would have the two
    /// CPUs meet at it with every expiry.
    pub fn follow(
        &self,
        target: &Weak<impl Expire + 'static>,
        next: impl Fn() -> Option<u64>,
        deadline: impl Fn(u64) -> u64,
    ) {
        loop {
            let wanted = next();
            match wanted {
                Some(next_ns) => self.set(deadline(next_ns), target.clone()),
                None => self.cancel(),
            }
            if next() == wanted {
                return;
            }
        }
    }

    /// Has `target` told at `deadline_ns`, and no longer at the deadline set before.
    pub fn set(&self, deadline_ns: u64, target: Weak<dyn Expire>) {
        start_thread();
        let (old, is_first) = {
            let mut alarms = ALARMS.lock();
            let old = alarms.remove(self.id);
            let is_first = alarms
                .due
                .first_key_value()
                .is_none_or(|(&(first_ns, _), _)| deadline_ns < first_ns);
            alarms.due.insert((deadline_ns, self.id), target);
            alarms.set.insert(self.id, deadline_ns);
            (old, is_first)
        };
        // Without the lock: it may be the last reference.
        drop(old);
        if is_first {
            wake_thread();
        }
    }

    /// Has nobody told any more.
    pub fn cancel(&self) {
        let old = ALARMS.lock().remove(self.id);
        drop(old);
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Alarms {
    fn remove(&mut self, id: u64) -> Option<Weak<dyn Expire>> {
        let deadline_ns = self.set.remove(&id)?;
        self.due.remove(&(deadline_ns, id))
    }

    /// Takes the first alarm if it is due, else says when it will be.
    fn take_due(&mut self, now_ns: u64) -> Result<Weak<dyn Expire>, Option<u64>> {
        match self.due.first_entry() {
            Some(entry) if entry.key().0 <= now_ns => {
                let ((_, id), target) = entry.remove_entry();
                self.set.remove(&id);
                Ok(target)
            }
            Some(entry) => Err(Some(entry.key().0)),
            None => Err(None),
        }
    }
}

/// Tells every alarm that is set that deadlines on the time of day have moved.
pub fn clock_was_set() {
    let targets: Vec<Arc<dyn Expire>> = ALARMS
        .lock()
        .due
        .values()
        .filter_map(Weak::upgrade)
        .collect();
    for target in targets {
        target.clock_was_set();
    }
}

fn wake_thread() {
    if let Some(thread) = &*THREAD.lock() {
        thread.unpark();
    }
}

fn start_thread() {
    if IS_STARTED.swap(true, Ordering::AcqRel) {
        return;
    }
    if kernel_thread::spawn("alarms", run, 0).is_none() {
        // The next alarm that is set tries again.
        IS_STARTED.store(false, Ordering::Release);
    }
}

extern "C" fn run(_: usize) -> ! {
    // Before it looks: who wakes it after that must find it.
    *THREAD.lock() = Some(smp::current_ref());
    loop {
        let due = ALARMS.lock().take_due(monotonic_ns());
        match due {
            Ok(target) => {
                if let Some(target) = target.upgrade() {
                    target.expired();
                }
            }
            // `Alarm::set` inserts before it unparks: an earlier one that came since is not missed.
            Err(deadline_ns) => {
                smp::park(deadline_ns, false);
            }
        }
    }
}
