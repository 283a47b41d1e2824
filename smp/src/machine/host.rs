//! The machine on a host: threads are the host's, interrupts a flag, CPUs simulated in tests.

use core::cell::{Cell, RefCell};

use alloc::sync::Arc;

use crate::{CpuId, Ipi, ThreadRef};

/// What a test that simulates CPUs supplies; without one there is one CPU and the host's clock.
pub(crate) trait Simulated: Send + Sync {
    /// Returns the CPU that the calling host thread plays.
    fn this_cpu(&self) -> CpuId;
    /// Returns the simulated clock.
    fn now_ns(&self) -> u64;
    /// Sees the timer of this CPU set.
    fn set_timer(&self, deadline_ns: u64);
    /// Sees an IPI sent.
    fn send_ipi(&self, target: CpuId, ipi: Ipi);
    /// Sees this CPU flush.
    fn flush_tlb(&self, start: usize, end: usize);
    /// Sees this CPU flush the TLBs of all, and tells whether it can.
    fn broadcast_flush_tlb(&self, _start: usize, _end: usize) -> bool {
        false
    }
    /// Puts a thread that was parked, and that a test moves, on a run queue.
    fn wake(&self, thread: ThreadRef);
}

#[cfg(not(loom))]
use std::thread_local;

#[cfg(loom)]
use loom::thread_local;

thread_local! {
    static INTERRUPTS: Cell<bool> = Cell::new(true);
    static SIMULATED: RefCell<Option<Arc<dyn Simulated>>> = RefCell::new(None);
}

/// Makes `machine` the machine of the calling host thread.
pub(crate) fn simulate(machine: Arc<dyn Simulated>) {
    SIMULATED.with(|slot| *slot.borrow_mut() = Some(machine));
}

fn with<R>(simulated: impl FnOnce(&dyn Simulated) -> R, real: impl FnOnce() -> R) -> R {
    let machine = SIMULATED
        .try_with(|slot| slot.borrow().clone())
        .ok()
        .flatten();
    match machine {
        Some(machine) => simulated(&*machine),
        None => real(),
    }
}

pub(crate) use crate::fake::current;

pub(crate) fn this_cpu() -> CpuId {
    with(|machine| machine.this_cpu(), || CpuId(0))
}

pub(crate) fn send_ipi(target: CpuId, ipi: Ipi) {
    with(|machine| machine.send_ipi(target, ipi), || ());
}

pub(crate) fn interrupts_enabled() -> bool {
    INTERRUPTS.try_with(Cell::get).unwrap_or(false)
}

pub(crate) fn interrupts_disable() -> bool {
    // A thread that ends takes locks after its flag is gone.
    INTERRUPTS
        .try_with(|flag| flag.replace(false))
        .unwrap_or(false)
}

pub(crate) fn interrupts_enable() {
    INTERRUPTS.with(|flag| flag.set(true));
}

/// Returns the monotonic clock in nanoseconds: what every deadline of this crate is on.
pub fn now_ns() -> u64 {
    with(|machine| machine.now_ns(), host_clock_ns)
}

#[cfg(not(loom))]
fn host_clock_ns() -> u64 {
    use std::{sync::LazyLock, time::Instant};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).expect("the process runs for less than 584 years")
}

#[cfg(loom)]
fn host_clock_ns() -> u64 {
    // Time does not pass in a model: it would be an input that loom cannot repeat.
    0
}

pub(crate) fn set_timer(deadline_ns: u64) {
    with(|machine| machine.set_timer(deadline_ns), || ());
}

pub(crate) fn wake(thread: ThreadRef) {
    with(
        |machine| machine.wake(thread),
        || unreachable!("only a test has such threads"),
    );
}

pub(crate) fn relax() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

pub(crate) fn flush_tlb(start: usize, end: usize) {
    with(|machine| machine.flush_tlb(start, end), || ());
}

pub(crate) fn broadcast_flush_tlb(start: usize, end: usize) -> bool {
    with(|machine| machine.broadcast_flush_tlb(start, end), || false)
}
