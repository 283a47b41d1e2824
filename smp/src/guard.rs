//! Proofs that the caller stays on its CPU, or is not interrupted.

use core::marker::PhantomData;

use crate::{Thread, machine, scheduler, thread};

/// Interrupts are off on this CPU while it lives. Guards end in the reverse order of their making.
#[derive(Debug)]
pub struct IrqGuard {
    were_on: bool,
    /// Interrupts are a property of the CPU: the guard must not leave it.
    _not_send: PhantomData<*const ()>,
}

impl IrqGuard {
    /// Turns interrupts off.
    #[inline]
    pub fn new() -> Self {
        Self {
            were_on: machine::interrupts_disable(),
            _not_send: PhantomData,
        }
    }
}

impl Default for IrqGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for IrqGuard {
    #[inline]
    fn drop(&mut self) {
        if self.were_on {
            machine::interrupts_enable();
        }
    }
}

/// This thread is not preempted, so stays on its CPU, while it lives; interrupts still arrive.
#[derive(Debug)]
pub struct PreemptGuard {
    /// The thread that made the guard: the count is its own, and the guard does not leave it.
    thread: *const Thread,
}

impl PreemptGuard {
    /// Forbids preemption of the current thread.
    #[inline]
    pub fn new() -> Self {
        Self {
            thread: thread::preempt_disable(),
        }
    }
}

impl Default for PreemptGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PreemptGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the pointer is from `preempt_disable`, on this thread as the guard is not `Send`.
        let is_last = unsafe { thread::preempt_enable(self.thread) };
        // A preemption that the guard put off is made up for here, not at the next interrupt,
        // which a tickless CPU may not see for a long time.
        if is_last && scheduler::should_preempt() && machine::interrupts_enabled() {
            scheduler::preempt();
        }
    }
}
