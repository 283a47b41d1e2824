//! Waking: which CPU a thread that becomes ready goes to, and how that CPU learns of it; and
//! the other side of it, how a CPU without threads comes to halt.
//!
//! A waker and a CPU about to halt must not miss each other. Both hold the lock of the CPU's
//! queue, the one to add a thread, the other to decide to halt: whoever is second sees the first,
//! and either the CPU goes on or the waker sends an IPI, which an enable-and-halt does not miss.

#![forbid(unsafe_code)]

use super::{decide::Scheduler, run_queue::Place};
use crate::{
    CpuId, CpuMask, Ipi, Thread, ThreadRef, machine,
    prim::{Ordering, fence},
};

impl Scheduler {
    /// Puts a thread that was woken, or is new, on a run queue and sees to it that a CPU looks.
    pub(crate) fn wake(&self, this: CpuId, thread: ThreadRef) {
        let scheduling = thread.scheduling();
        let has_credit = thread.slice_left_ns.load(Ordering::Relaxed) > 0;
        let place = if has_credit && scheduling.wakes_early() {
            Place::Early
        } else {
            self.refill(&thread);
            Place::Back
        };
        self.place(this, thread, place);
    }

    /// Puts a new thread on a run queue.
    pub(crate) fn start(&self, this: CpuId, thread: ThreadRef) {
        // It has been nowhere yet: let it count as last run on the least busy CPU.
        let allowed = self.allowed(&thread);
        let least_busy = allowed
            .iter()
            .min_by_key(|&cpu| (self.load(cpu), cpu != this));
        thread
            .cpu
            .store(least_busy.unwrap_or(this).0, Ordering::Relaxed);
        self.wake(this, thread);
    }

    /// Puts a thread on the run queue of the CPU that suits it.
    pub(super) fn place(&self, this: CpuId, thread: ThreadRef, place: Place) {
        let allowed = self.allowed(&thread);
        let (target, is_idle) = self.choose(this, &thread, allowed);
        self.put(this, target, thread, place);
        if !is_idle {
            self.call_idle(this, allowed);
        }
    }

    /// Returns the online CPUs that `thread` may use, all if it may use none of them.
    pub(super) fn allowed(&self, thread: &Thread) -> CpuMask {
        let allowed = thread.affinity().and(self.online());
        if allowed.is_empty() {
            self.online()
        } else {
            allowed
        }
    }

    /// Chooses a CPU and says whether it is an idle one, which is then claimed for this thread;
    /// else it is the less busy of the one it last ran on and this one.
    pub(super) fn choose(&self, this: CpuId, thread: &Thread, allowed: CpuMask) -> (CpuId, bool) {
        let last = thread.last_cpu();
        loop {
            let idle = CpuMask::from_bits(self.idle.load(Ordering::Relaxed)).and(allowed);
            // This CPU needs no IPI; the last one has a warm cache.
            let found = [this, last]
                .into_iter()
                .find(|&cpu| idle.contains(cpu))
                .or_else(|| idle.lowest());
            let Some(cpu) = found else { break };
            if self.claim_idle(cpu) {
                return (cpu, true);
            }
        }
        let mut best = if allowed.contains(last) {
            last
        } else {
            allowed
                .lowest()
                .expect("a CPU is online, the one that runs this")
        };
        if allowed.contains(this) && self.load(this) < self.load(best) {
            best = this;
        }
        (best, false)
    }

    /// Takes an idle CPU for one piece of work; false if another waker was first.
    pub(super) fn claim_idle(&self, cpu: CpuId) -> bool {
        let bit = CpuMask::only(cpu).bits();
        self.idle.fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }

    /// Returns how many threads are on a CPU, waiting or running.
    pub(super) fn load(&self, cpu: CpuId) -> u32 {
        let cpu = self.cpu(cpu);
        cpu.queued.load(Ordering::Relaxed) + u32::from(cpu.is_busy.load(Ordering::Relaxed))
    }

    /// Adds a thread to the queue of `target`, and interrupts that CPU if it must know now.
    pub(super) fn put(&self, this: CpuId, target: CpuId, thread: ThreadRef, place: Place) {
        let cpu = self.cpu(target);
        let mut local = cpu.local.lock();
        local.queue.push(thread, place);
        // Relaxed is enough: who must not miss it either takes the lock or passes the fence in `call_idle`.
        cpu.queued
            .store(local.queue.len() as u32, Ordering::Relaxed);
        let due_ns = local.due_ns();
        let is_due_earlier = due_ns < local.turn.due_ns;
        if is_due_earlier {
            local.turn.due_ns = due_ns;
        }
        // Under the lock: the CPU has either seen the thread before it decided to halt,
        // or has told us so.
        let was_halted = core::mem::replace(&mut local.is_halted, false);
        drop(local);
        if target == this {
            if is_due_earlier {
                self.accept_due(this, due_ns);
            }
        } else if was_halted || is_due_earlier {
            self.send_ipi(this, target, Ipi::Reschedule);
        }
    }

    /// A thread waits on a CPU that is not idle: if another CPU is, has it come and steal.
    /// `choose` saw none a moment ago, but one that has gone idle since may have looked at the queue
    /// before the thread was in it.
    pub(super) fn call_idle(&self, this: CpuId, allowed: CpuMask) {
        // Pairs with the fence in `announce_idle`: either we see its bit, or it sees our `queued`.
        fence(Ordering::SeqCst);
        let idle = CpuMask::from_bits(self.idle.load(Ordering::Relaxed))
            .and(allowed)
            .without(this);
        let Some(cpu) = idle.lowest() else { return };
        // If it has not decided to halt yet, it finds its bit gone when it does, and looks again.
        if self.claim_idle(cpu) && self.end_halt(cpu) {
            self.send_ipi(this, cpu, Ipi::Reschedule);
        }
    }

    /// Says whether `cpu` halts, and notes that it does not any more.
    pub(super) fn end_halt(&self, cpu: CpuId) -> bool {
        core::mem::replace(&mut self.cpu(cpu).local.lock().is_halted, false)
    }

    pub(crate) fn send_ipi(&self, this: CpuId, target: CpuId, ipi: Ipi) {
        self.cpu(this).counts.ipis_sent.add(1);
        machine::send_ipi(target, ipi);
    }

    /// Tells wakers that this CPU has nothing to do. Before it halts it looks for work
    /// once more, by [`Scheduler::pick`], then asks [`Scheduler::begin_halt`].
    pub(crate) fn announce_idle(&self, this: CpuId) {
        self.idle
            .fetch_or(CpuMask::only(this).bits(), Ordering::SeqCst);
        // Pairs with the fence in `call_idle`.
        fence(Ordering::SeqCst);
    }

    /// Says whether a waker has claimed this CPU since `announce_idle`.
    pub(crate) fn is_claimed(&self, this: CpuId) -> bool {
        !CpuMask::from_bits(self.idle.load(Ordering::Relaxed)).contains(this)
    }

    /// Says whether this CPU may halt; from now on wakers send it an IPI, which an atomic
    /// enable-and-halt does not miss.
    pub(crate) fn begin_halt(&self, this: CpuId) -> bool {
        let mut local = self.cpu(this).local.lock();
        local.is_halted = local.queue.len() == 0 && !self.is_claimed(this);
        local.is_halted
    }

    /// Ends what `begin_halt` began.
    pub(crate) fn after_halt(&self, this: CpuId) {
        self.end_halt(this);
    }
}
