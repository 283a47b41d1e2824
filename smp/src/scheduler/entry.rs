//! What interrupt handlers and the rest of this crate call.

use super::decide::Scheduler;
use crate::{CpuId, CpuMask, CpuStats, Ipi, IrqGuard, Thread, ThreadState, machine, prim, tlb};

prim::global! {
    static SCHEDULER: Scheduler = Scheduler::new();
}

/// Returns the scheduler of this machine.
pub(crate) fn scheduler() -> &'static Scheduler {
    &SCHEDULER
}

/// Returns the CPUs that run threads.
pub fn online_cpus() -> CpuMask {
    let online = scheduler().online();
    // A host has one as far as its threads can tell.
    if cfg!(target_os = "none") {
        online
    } else {
        CpuMask::only(CpuId(0))
    }
}

/// Handles the timer interrupt: unparks whose deadline has passed and notes the end of a turn.
/// Interrupts are off.
pub fn on_timer_interrupt() {
    scheduler().on_timer(machine::this_cpu());
}

/// Handles [`Ipi::Reschedule`]. Interrupts are off.
pub fn on_reschedule_ipi() {
    scheduler().look_at_turn(machine::this_cpu());
}

/// Says whether the current thread should be preempted: at the end of an interrupt handler that
/// interrupted code with interrupts on, go through the trampoline to `preempt` if so.
#[inline]
pub fn should_preempt() -> bool {
    cfg!(target_os = "none")
        && scheduler().needs_resched(machine::this_cpu())
        && crate::current().preempt_count() == 0
}

/// Sends [`Ipi::Stop`] to all other CPUs, for the report of a panic.
pub fn stop_others() {
    let _irq = IrqGuard::new();
    let this = machine::this_cpu();
    for cpu in online_cpus().without(this).iter() {
        scheduler().send_ipi(this, cpu, Ipi::Stop);
    }
}

pub(crate) fn stats_of(cpu: CpuId) -> CpuStats {
    CpuStats {
        shootdowns: tlb::count_of(cpu),
        ..scheduler().stats(cpu)
    }
}

/// Moves `thread` if it runs where it may not any more. One that waits is moved when it is its
/// turn there.
pub(crate) fn on_affinity_change(thread: &Thread) {
    if !cfg!(target_os = "none") {
        return;
    }
    let irq = IrqGuard::new();
    let (this, cpu) = (machine::this_cpu(), thread.last_cpu());
    if thread.affinity().contains(cpu) || thread.state() != ThreadState::Running {
        return;
    }
    if cpu != this {
        scheduler().request_resched(this, cpu);
        return;
    }
    drop(irq);
    if core::ptr::eq(thread, &*crate::current()) {
        super::preempt();
    }
}

/// Interrupts the CPU that runs `thread`, so that it looks at [`Thread::notify`].
pub(crate) fn nudge(thread: &Thread) {
    if !cfg!(target_os = "none") {
        return;
    }
    let _irq = IrqGuard::new();
    let (this, cpu) = (machine::this_cpu(), thread.last_cpu());
    if cpu != this && thread.state() == ThreadState::Running {
        scheduler().send_ipi(this, cpu, Ipi::Reschedule);
    }
}

/// Drops what is left of threads that have ended.
pub(crate) fn collect_dead() {
    while scheduler().has_dead()
        && let Some(thread) = scheduler().take_dead()
    {
        drop(thread);
    }
}
