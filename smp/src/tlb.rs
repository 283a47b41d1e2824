//! TLB shootdown: making every CPU forget a translation before its frame is used again.
//!
//! Each CPU has one request slot, used by the thread on it that shoots, with preemption off. It
//! fills the slot, marks itself in the `senders` of each target and sends an IPI; a target
//! takes its senders, flushes what each asks, and takes itself out of the slot's `pending`.
//!
//! Where one CPU can flush for all (`Platform::broadcast_flush_tlb`), that takes the place of the requests.
//!
//! A CPU that is idle or spins for a `PollingLock` touches no user memory: it is lazy. It is only marked stale,
//! and flushes everything before it goes on.

#![forbid(unsafe_code)]

// Ranges are published by the atomics from `prim` that follow them.
use core::sync::atomic::AtomicUsize;

use crossbeam_utils::CachePadded;

use crate::{
    CpuId, CpuMask, Ipi, PreemptGuard, machine,
    prim::{self, AtomicU32, AtomicU64, Ordering},
    scheduler::{self, CPU_SLOTS},
    stats::Counter,
};

/// Runs threads: flush by IPI.
const ACTIVE: u32 = 0;
/// Uses no user memory.
const LAZY: u32 = 1;
/// Uses no user memory and has something to flush.
const STALE: u32 = 2;

struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    /// The CPUs that have not flushed yet.
    pending: AtomicU64,
    /// The CPUs whose slots ask this one to flush.
    senders: AtomicU64,
    laziness: AtomicU32,
    count: Counter,
}

pub(crate) struct Shootdowns([CachePadded<Slot>; CPU_SLOTS]);

macro_rules! slot {
    () => {
        CachePadded::new(Slot {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            pending: AtomicU64::new(0),
            senders: AtomicU64::new(0),
            laziness: AtomicU32::new(ACTIVE),
            count: Counter::new(),
        })
    };
}

impl Shootdowns {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self([const { slot!() }; CPU_SLOTS])
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(core::array::from_fn(|_| slot!()))
    }

    fn slot(&self, cpu: CpuId) -> &Slot {
        &self.0[cpu.index()]
    }

    /// Has the `others` flush `start..end`, and returns when they have, or will before they use
    /// it. This CPU flushes too. Preemption is off.
    pub(crate) fn shoot(
        &self,
        this: CpuId,
        others: CpuMask,
        start: usize,
        end: usize,
        with_lazy: bool,
    ) {
        machine::flush_tlb(start, end);
        let targets = others
            .iter()
            .filter(|&cpu| with_lazy || !self.mark_stale(cpu));
        let targets = targets.fold(CpuMask::NONE, CpuMask::with);
        if targets.is_empty() {
            return;
        }
        let slot = self.slot(this);
        slot.count.add(1);
        if machine::broadcast_flush_tlb(start, end) {
            return;
        }
        slot.start.store(start, Ordering::Relaxed);
        slot.end.store(end, Ordering::Relaxed);
        slot.pending.store(targets.bits(), Ordering::Relaxed);
        for cpu in targets.iter() {
            // Release pairs with the Acquire in `service`: the target sees the page table as
            // changed, and the slot.
            self.slot(cpu)
                .senders
                .fetch_or(CpuMask::only(this).bits(), Ordering::Release);
            machine::send_ipi(cpu, Ipi::Shootdown);
        }
        // Acquire pairs with the Release in `service`: every flush came before, so the frame
        // may be reused.
        while slot.pending.load(Ordering::Acquire) != 0 {
            // Two that shoot at each other with interrupts off must both answer.
            self.service(this);
            machine::relax();
        }
    }

    /// Leaves the flush to the CPU if it is lazy.
    fn mark_stale(&self, cpu: CpuId) -> bool {
        let laziness = &self.slot(cpu).laziness;
        // Release pairs with the Acquire in `end_lazy`: the flush there, and what is read after
        // it, finds the page table as changed. Acquire pairs with the Release in `begin_lazy`.
        // `STALE` is written again for the same reason: a later flush must know of this change too.
        let mark = |state: u32| (state != ACTIVE).then_some(STALE);
        laziness
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, mark)
            .is_ok()
    }

    /// Answers the requests to this CPU. Interrupts are off or preemption is.
    pub(crate) fn service(&self, this: CpuId) {
        let own = self.slot(this);
        if own.senders.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Acquire pairs with the Release in `shoot`.
        let senders = CpuMask::from_bits(own.senders.swap(0, Ordering::Acquire));
        for sender in senders.iter() {
            let slot = self.slot(sender);
            machine::flush_tlb(
                slot.start.load(Ordering::Relaxed),
                slot.end.load(Ordering::Relaxed),
            );
            // Release pairs with the Acquire in `shoot`.
            slot.pending
                .fetch_and(!CpuMask::only(this).bits(), Ordering::Release);
        }
    }

    /// Runs `wait`, which uses no user memory; shootdowns do not wait for this CPU meanwhile. Preemption is
    /// off, and this does not nest.
    pub(crate) fn while_lazy(&self, this: CpuId, wait: impl FnOnce()) {
        self.begin_lazy(this);
        wait();
        self.end_lazy(this);
    }

    fn begin_lazy(&self, this: CpuId) {
        // Release pairs with the Acquire in `mark_stale`: what this CPU did through its old
        // translations comes before the frame is reused.
        self.slot(this).laziness.store(LAZY, Ordering::Release);
    }

    /// Flushes what was left to this CPU.
    fn end_lazy(&self, this: CpuId) {
        // Acquire pairs with the Release in `mark_stale`. From now on IPIs come again.
        if self.slot(this).laziness.swap(ACTIVE, Ordering::Acquire) == STALE {
            machine::flush_tlb(0, usize::MAX);
        }
    }
}

prim::global! {
    static SHOOTDOWNS: Shootdowns = Shootdowns::new();
}

/// Makes every CPU forget the translations of `start..end` before it next uses user memory, and
/// returns when no CPU can use them any more: the frames may be reused. Lazy CPUs, which are idle or
/// spin for a [`crate::PollingLock`], are not disturbed, they flush before they go on.
///
/// # Panics
///
/// If interrupts are off while there are several CPUs, which says that a spin lock may be held,
/// for which a target may wait with interrupts off. The page-fault handler, which holds none,
/// calls [`shootdown_from_fault`].
pub fn shootdown(start: usize, end: usize) {
    assert_may_wait();
    shoot(start, end, false);
}

/// As [`shootdown`], and lazy CPUs take part: for when page tables are freed, which their
/// hardware may still walk speculatively.
///
/// # Panics
///
/// As [`shootdown`].
pub fn shootdown_tables(start: usize, end: usize) {
    assert_may_wait();
    shoot(start, end, true);
}

/// As [`shootdown`], also with interrupts off, for the page-fault handler: it answers other CPUs'
/// requests while it waits. No spin lock may be held.
pub fn shootdown_from_fault(start: usize, end: usize) {
    shoot(start, end, false);
}

fn assert_may_wait() {
    let is_alone = scheduler::online_cpus().count() <= 1;
    assert!(
        is_alone || machine::interrupts_enabled(),
        "TLB shootdown with interrupts off"
    );
}

fn shoot(start: usize, end: usize, with_lazy: bool) {
    let _pinned = PreemptGuard::new();
    let this = machine::this_cpu();
    let others = scheduler::online_cpus().without(this);
    SHOOTDOWNS.shoot(this, others, start, end, with_lazy);
}

/// Runs `wait`, which uses no user memory; shootdowns do not wait for this CPU meanwhile. Preemption is off,
/// and this does not nest.
pub(crate) fn while_lazy(wait: impl FnOnce()) {
    SHOOTDOWNS.while_lazy(machine::this_cpu(), wait);
}

/// Answers the requests of other CPUs, if there are any; for who waits with interrupts off.
pub fn service_shootdown() {
    SHOOTDOWNS.service(machine::this_cpu());
}

/// Handles [`Ipi::Shootdown`]. Interrupts are off.
pub fn on_shootdown_ipi() {
    service_shootdown();
}

/// Returns how many shootdowns `cpu` has begun.
pub(crate) fn count_of(cpu: CpuId) -> u64 {
    SHOOTDOWNS
        .0
        .get(cpu.index())
        .map_or(0, |slot| slot.count.get())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{ThreadRef, machine::Simulated};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Event {
        Ipi(CpuId),
        Flush,
        Broadcast(usize, usize),
    }

    /// CPU 0 of a machine whose CPUs flush for each other.
    struct Machine(Mutex<Vec<Event>>);

    impl Machine {
        fn note(&self, event: Event) {
            self.0.lock().expect("no test panics with it").push(event);
        }

        fn take(&self) -> Vec<Event> {
            core::mem::take(&mut self.0.lock().expect("no test panics with it"))
        }
    }

    impl Simulated for Machine {
        fn this_cpu(&self) -> CpuId {
            CpuId(0)
        }

        fn now_ns(&self) -> u64 {
            0
        }

        fn set_timer(&self, _: u64) {}

        fn send_ipi(&self, target: CpuId, _: Ipi) {
            self.note(Event::Ipi(target));
        }

        fn flush_tlb(&self, _: usize, _: usize) {
            self.note(Event::Flush);
        }

        fn broadcast_flush_tlb(&self, start: usize, end: usize) -> bool {
            self.note(Event::Broadcast(start, end));
            true
        }

        fn wake(&self, _: ThreadRef) {}
    }

    #[test]
    fn a_broadcast_takes_the_place_of_requests() {
        let machine = Arc::new(Machine(Mutex::new(Vec::new())));
        machine::simulate(machine.clone());
        let shootdowns = Shootdowns::new();
        let (this, busy, idle) = (CpuId(0), CpuId(1), CpuId(2));
        shootdowns.begin_lazy(idle);
        shootdowns.shoot(this, CpuMask::only(idle), 0x1000, 0x3000, false);
        assert_eq!(machine.take(), [Event::Flush], "idle CPUs are left alone");
        shootdowns.end_lazy(idle);
        assert_eq!(machine.take(), [Event::Flush], "it flushes for itself");
        let others = CpuMask::only(busy).with(idle);
        for (others, with_idle) in [(others, false), (CpuMask::only(idle), true)] {
            shootdowns.begin_lazy(idle);
            shootdowns.shoot(this, others, 0x1000, 0x3000, with_idle);
            let broadcast = Event::Broadcast(0x1000, 0x3000);
            assert_eq!(machine.take(), [Event::Flush, broadcast]);
            shootdowns.service(busy);
            assert_eq!(machine.take(), [], "nobody is asked for anything");
        }
        assert_eq!(shootdowns.slot(this).count.get(), 2);
    }
}
