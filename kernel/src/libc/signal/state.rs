//! Which signals a thread and the process hold, block and act on, and what comes next.
//!
//! Pure state: the locks around it and the calling of handlers are elsewhere
//! (`send`, `deliver`), so the rules are tested on the host.

use super::action::{ActionTable, Disposition, Handler};
use super::info::SignalInfo;
use super::queue::{Queue, QueueFull};
use super::set::{DefaultAction, Signal, SignalSet};

/// A thread's alternate stack; see sigaltstack(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AlternateStack {
    /// Its lowest address.
    pub base: usize,
    /// Its length; 0 when there is none.
    pub len: usize,
    /// It is taken away while a handler runs on it (`SS_AUTODISARM`).
    pub is_auto_disarmed: bool,
}

impl AlternateStack {
    /// None is set.
    pub const NONE: Self = Self {
        base: 0,
        len: 0,
        is_auto_disarmed: false,
    };

    /// Code whose stack pointer is `stack_pointer` runs on it.
    pub fn contains(&self, stack_pointer: usize) -> bool {
        // A full stack's pointer is its base, an empty one's its end.
        !self.is_auto_disarmed && stack_pointer > self.base && stack_pointer - self.base <= self.len
    }

    /// Where a handler's stack begins that is to run here; `None` when there is no such stack
    /// or the thread, at `stack_pointer`, is on it already.
    pub fn top_for(&self, stack_pointer: usize) -> Option<usize> {
        (self.len != 0 && !self.contains(stack_pointer)).then(|| (self.base + self.len) & !15)
    }
}

/// The signals of one thread.
pub struct ThreadState {
    /// Blocked: these stay pending.
    pub mask: SignalSet,
    /// The mask to go back to when the handler that ends a wait has run: set by the calls that
    /// wait under a mask of their own (sigsuspend, ppoll, pselect, epoll_pwait).
    pub saved_mask: Option<SignalSet>,
    /// Sent to this thread.
    pub pending: Queue,
    /// Taken by sigtimedwait in this thread although they are blocked.
    pub awaited: SignalSet,
    /// Where handlers with `SA_ONSTACK` run.
    pub alternate: AlternateStack,
}

/// The signals of the process.
pub struct ProcessState {
    /// What it does about each.
    pub actions: ActionTable,
    /// Sent to it as a whole: any thread that does not block one may take it.
    pub pending: Queue,
}

/// A handler that is to be called now.
pub struct Delivery {
    /// The signal.
    pub signal: Signal,
    /// Its story.
    pub info: SignalInfo,
    /// The function and how to call it.
    pub handler: Handler,
    /// The mask to set when it has returned.
    pub restore: SignalSet,
}

/// What a thread must do before it goes on with the program's code.
pub enum Step {
    /// Nothing.
    GoOn,
    /// Call a handler and ask again.
    Call(Delivery),
    /// End the process.
    End(Signal, SignalInfo, DefaultAction),
}

impl ThreadState {
    /// A thread that inherits `mask` from its creator.
    pub const fn new(mask: SignalSet) -> Self {
        Self {
            mask,
            saved_mask: None,
            pending: Queue::new(),
            awaited: SignalSet::EMPTY,
            alternate: AlternateStack::NONE,
        }
    }

    /// Sets the mask, except for what cannot be blocked; returns the old one.
    pub fn set_mask(&mut self, mask: SignalSet) -> SignalSet {
        core::mem::replace(&mut self.mask, mask.without(SignalSet::UNBLOCKABLE))
    }

    /// `signal` would be taken by this thread soon.
    pub fn accepts(&self, signal: Signal) -> bool {
        !self.mask.contains(signal) || self.awaited.contains(signal)
    }
}

impl Default for ProcessState {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessState {
    /// No signal pending, all actions at their defaults.
    pub const fn new() -> Self {
        Self {
            actions: ActionTable::new(),
            pending: Queue::new(),
        }
    }

    /// Adds `signal` to what `thread` holds, or drops it where it would be ignored.
    /// Tells whether the thread must now look.
    pub fn send_to_thread(
        &mut self,
        thread: &mut ThreadState,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<bool, QueueFull> {
        if self.drops(thread, signal) {
            return Ok(false);
        }
        thread.pending.push(signal, info)?;
        Ok(thread.accepts(signal))
    }

    /// Adds `signal` to what the process holds, or drops it where it would be ignored.
    /// Tells whether a thread must be chosen that takes it. `main` is the first thread.
    pub fn send(
        &mut self,
        main: &ThreadState,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<bool, QueueFull> {
        if self.drops(main, signal) {
            return Ok(false);
        }
        self.pending.push(signal, info)?;
        Ok(true)
    }

    /// A signal that is ignored and not blocked is not even noted. A blocked one is: it may be
    /// waited for, or get a handler first.
    fn drops(&self, thread: &ThreadState, signal: Signal) -> bool {
        self.actions.disposition(signal) == Disposition::Ignore
            && !thread.mask.contains(signal)
            && !thread.awaited.contains(signal)
    }

    /// The signals that `thread` would take now and that have an effect.
    pub fn effective_for(&self, thread: &ThreadState) -> SignalSet {
        let pending = thread.pending.members().union(self.pending.members());
        self.actions.effective(pending.without(thread.mask))
    }

    /// What comes first of all that would happen to `thread` now: how the interrupted call ends
    /// depends on it.
    pub fn first_effect(&self, thread: &ThreadState) -> Option<Disposition> {
        let unblocked =
            |queue: &Queue| self.actions.effective(queue.members().without(thread.mask));
        let signal = unblocked(&thread.pending)
            .first()
            .or_else(|| unblocked(&self.pending).first())?;
        Some(self.actions.disposition(signal))
    }

    /// Takes one signal that `wanted` names, whether blocked or not.
    pub fn take(
        &mut self,
        thread: &mut ThreadState,
        wanted: SignalSet,
    ) -> Option<(Signal, SignalInfo)> {
        let synchronous = wanted.intersection(SignalSet::SYNCHRONOUS);
        thread
            .pending
            .take(synchronous)
            .or_else(|| thread.pending.take(wanted))
            .or_else(|| self.pending.take(wanted))
    }

    /// Finds out what `thread` must do next, and changes its mask as the handler asks.
    pub fn next_step(&mut self, thread: &mut ThreadState) -> Step {
        loop {
            let unblocked = SignalSet::from_bits(!thread.mask.bits());
            let Some((signal, info)) = self.take(thread, unblocked) else {
                // Back to the mask from before the wait; that may let others through.
                match thread.saved_mask.take() {
                    Some(mask) => {
                        thread.set_mask(mask);
                        continue;
                    }
                    None => return Step::GoOn,
                }
            };
            match self.actions.disposition(signal) {
                Disposition::Ignore => {}
                Disposition::Default(action) => return Step::End(signal, info, action),
                Disposition::Handle(handler) => {
                    if handler.is_one_shot {
                        self.actions.set(signal, super::action::Action::DEFAULT);
                    }
                    let restore = thread.saved_mask.take().unwrap_or(thread.mask);
                    thread.set_mask(thread.mask.union(handler.blocks));
                    return Step::Call(Delivery {
                        signal,
                        info,
                        handler,
                        restore,
                    });
                }
            }
        }
    }

    /// Makes a fault's signal the thread's next one, even if it is blocked or ignored: the
    /// faulting instruction cannot be passed, so the default action must then follow.
    pub fn force(&mut self, thread: &mut ThreadState, signal: Signal, info: SignalInfo) {
        let is_blocked = thread.mask.contains(signal);
        if is_blocked || self.actions.disposition(signal) == Disposition::Ignore {
            self.actions.set(signal, super::action::Action::DEFAULT);
            thread.mask.remove(signal);
        }
        thread.pending.discard(SignalSet::of(&[signal]));
        // A standard signal never finds the queue full.
        let _ = thread.pending.push(signal, info);
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
