//! Deadlines and the ends of turns, over the one timer that each CPU has.

#![forbid(unsafe_code)]

use super::decide::Scheduler;
use crate::{CpuId, Ipi, Thread, ThreadRef, machine, prim::Ordering};

impl Scheduler {
    /// Handles the timer interrupt of this CPU.
    pub(crate) fn on_timer(&self, this: CpuId) {
        let cpu = self.cpu(this);
        cpu.counts.timer_interrupts.add(1);
        cpu.timer_ns.store(u64::MAX, Ordering::Relaxed);
        let now_ns = machine::now_ns();
        loop {
            let mut timers = cpu.timers.lock();
            let Some(thread) = timers.pop_expired(now_ns) else {
                cpu.first_deadline_ns
                    .store(timers.first_ns(), Ordering::Relaxed);
                break;
            };
            drop(timers);
            thread.unpark();
        }
        self.look_at_turn(this);
        self.program_timer(this);
    }

    /// Has the current thread make way if it is due, now or by timer.
    pub(crate) fn look_at_turn(&self, this: CpuId) {
        let mut local = self.cpu(this).local.lock();
        local.turn.due_ns = local.due_ns();
        let due_ns = local.turn.due_ns;
        drop(local);
        if due_ns <= machine::now_ns() {
            self.cpu(this)
                .turn_timer_ns
                .store(u64::MAX, Ordering::Relaxed);
            self.cpu(this).needs_resched.store(true, Ordering::Relaxed);
        } else {
            self.accept_due(this, due_ns);
        }
    }

    /// Has the current thread of `cpu`, another one, look at its affinity.
    pub(crate) fn request_resched(&self, this: CpuId, cpu: CpuId) {
        self.cpu(cpu).needs_resched.store(true, Ordering::SeqCst);
        self.send_ipi(this, cpu, Ipi::Reschedule);
    }

    /// Notes when the current thread is due. If that has passed, the timer interrupts at once
    /// and its handler sees to it.
    pub(super) fn accept_due(&self, this: CpuId, due_ns: u64) {
        self.cpu(this)
            .turn_timer_ns
            .store(due_ns, Ordering::Relaxed);
        self.program_timer(this);
    }

    pub(super) fn next_timer_ns(&self, this: CpuId) -> u64 {
        let cpu = self.cpu(this);
        let turn_ns = cpu.turn_timer_ns.load(Ordering::Relaxed);
        turn_ns.min(cpu.first_deadline_ns.load(Ordering::Relaxed))
    }

    /// Sets the machine's timer if it would come too late. One that comes too early is left
    /// alone: the next one will often be earlier again, and setting it costs more than it saves.
    pub(super) fn program_timer(&self, this: CpuId) {
        let (cpu, next_ns) = (self.cpu(this), self.next_timer_ns(this));
        if next_ns < cpu.timer_ns.load(Ordering::Relaxed) {
            cpu.timer_ns.store(next_ns, Ordering::Relaxed);
            machine::set_timer(next_ns);
        }
    }

    /// Sets the machine's timer to what is really needed, before the CPU halts.
    pub(crate) fn program_timer_exactly(&self, this: CpuId) {
        let (cpu, next_ns) = (self.cpu(this), self.next_timer_ns(this));
        if next_ns != cpu.timer_ns.load(Ordering::Relaxed) {
            cpu.timer_ns.store(next_ns, Ordering::Relaxed);
            machine::set_timer(next_ns);
        }
    }

    /// Has `thread`, the current one, unparked at `deadline_ns`.
    pub(crate) fn set_deadline(&self, this: CpuId, thread: ThreadRef, deadline_ns: u64) {
        let cpu = self.cpu(this);
        thread.timer.set(deadline_ns, this);
        let mut timers = cpu.timers.lock();
        timers.insert(thread);
        cpu.first_deadline_ns
            .store(timers.first_ns(), Ordering::Relaxed);
        drop(timers);
        self.program_timer(this);
    }

    /// Ends what `set_deadline` began, on any CPU; says whether the deadline has passed.
    pub(crate) fn clear_deadline(&self, thread: &Thread) -> bool {
        let cpu = self.cpu(thread.timer.cpu());
        let mut timers = cpu.timers.lock();
        let removed = timers.remove(thread);
        // Only the CPU itself sets its timer; a needless interrupt is all that can come of it.
        cpu.first_deadline_ns
            .store(timers.first_ns(), Ordering::Relaxed);
        drop(timers);
        removed.is_none()
    }
}
