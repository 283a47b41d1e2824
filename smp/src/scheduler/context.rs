//! Switching from one thread's kernel stack to another's, as the scheduler proper decides.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU8, Ordering},
};

use alloc::sync::Arc;

use super::{
    collect_dead,
    decide::{CPU_SLOTS, Leaving, Next},
    polling::Polling,
    scheduler, should_preempt,
};
use crate::{
    CpuId, Current, IrqGuard, Thread, ThreadConfig, ThreadRef, current, machine, registry, tlb,
};

/// What one CPU's switch hands from the old thread's stack to the new one's.
struct Handoff {
    prev: AtomicPtr<Thread>,
    leaving: AtomicU8,
    idle_thread: AtomicPtr<Thread>,
}

// All orderings here are relaxed: each CPU uses its own, with interrupts off.
static HANDOFFS: [Handoff; CPU_SLOTS] = [const {
    Handoff {
        prev: AtomicPtr::new(ptr::null_mut()),
        leaving: AtomicU8::new(0),
        idle_thread: AtomicPtr::new(ptr::null_mut()),
    }
}; CPU_SLOTS];

fn handoff(cpu: CpuId) -> &'static Handoff {
    &HANDOFFS[cpu.index()]
}

/// Makes the caller's context the idle thread of this CPU and lets the CPU run threads. Called
/// once on each CPU, with interrupts off; `kernel_stack_top` is the end of the stack that the
/// caller is on. The caller may then start threads, and ends in [`run_idle`]; it must not sleep.
pub fn init_cpu(kernel_stack_top: usize) {
    assert!(
        !machine::interrupts_enabled(),
        "a CPU joins with interrupts off"
    );
    let cpu = machine::this_cpu();
    let config = ThreadConfig::new("idle", never_called, 0, kernel_stack_top);
    let thread = Thread::new(config, 0, true);
    thread.cpu.store(cpu.0, Ordering::Relaxed);
    // It is never preempted: it gives the CPU away when there is somebody to take it.
    thread.forbid_preemption();
    let thread = Arc::into_raw(thread);
    handoff(cpu)
        .idle_thread
        .store(thread.cast_mut(), Ordering::Relaxed);
    // SAFETY: interrupts are off, and the reference is never dropped.
    unsafe { machine::set_current(thread) };
    scheduler().set_online(cpu);
}

extern "C" fn never_called(_: usize) -> ! {
    unreachable!("an idle thread begins in init_cpu")
}

/// Starts a thread.
pub(crate) fn start(config: ThreadConfig) -> ThreadRef {
    let thread = registry::insert_with(config.tid, |tid| {
        let top = config.kernel_stack_top;
        let thread = Thread::new(config, tid, false);
        // SAFETY: `ThreadConfig` promises the stack to this thread, and it does not run yet.
        let kernel_sp = unsafe { machine::init_stack(top, begin, 0) };
        thread.set_kernel_sp(kernel_sp);
        thread
    });
    let _irq = IrqGuard::new();
    scheduler().start(machine::this_cpu(), thread.clone());
    thread
}

/// Where each thread begins, on its own stack with interrupts off.
extern "C" fn begin(_: usize) -> ! {
    after_switch();
    machine::interrupts_enable();
    let thread = current();
    (thread.entry)(thread.arg)
}

/// Ends the current thread.
pub(crate) fn exit(_: Current) -> ! {
    machine::interrupts_disable();
    switch_away(Leaving::Exiting);
    unreachable!("an ended thread was resumed");
}

/// Sleeps until unparked; says whether the deadline passed instead.
pub(crate) fn block(current: Current, deadline_ns: Option<u64>) -> bool {
    let irq = IrqGuard::new();
    if let Some(deadline_ns) = deadline_ns {
        scheduler().set_deadline(machine::this_cpu(), current.to_ref(), deadline_ns);
    }
    switch_away(Leaving::Parking);
    // Perhaps on another CPU now.
    drop(irq);
    current.park.take_permit();
    deadline_ns.is_some() && scheduler().clear_deadline(&current)
}

/// Continues a thread whose `unpark` told this caller to.
pub(crate) fn make_runnable(thread: &Thread) {
    let _irq = IrqGuard::new();
    // SAFETY: the thread was `PARKED`, and that state's reference is now this caller's: `unpark`
    // tells one caller alone.
    let thread = unsafe { Arc::from_raw(thread.as_arc_ptr()) };
    scheduler().wake(machine::this_cpu(), thread);
}

/// Lets other threads that wait for this CPU run; returns at once if there are none. See
/// `sched_yield(2)`.
pub fn yield_now() {
    if !scheduler().has_queued(machine::this_cpu()) || current().preempt_count() > 0 {
        return;
    }
    let _irq = IrqGuard::new();
    switch_away(Leaving::Yielded);
}

/// Lets the CPU run another thread now; called by the current thread itself. The preemption
/// trampoline calls it with interrupts off, and they are off when it returns.
pub fn preempt() {
    let _irq = IrqGuard::new();
    let current = current();
    let must_move = !current.affinity().contains(machine::this_cpu());
    if should_preempt() || must_move && current.preempt_count() == 0 {
        switch_away(Leaving::Preempted);
    }
}

/// Switches to what the scheduler picks; returns when the current thread is picked again, and
/// says whether another ran. Interrupts are off.
fn switch_away(leaving: Leaving) -> bool {
    let this = machine::this_cpu();
    let prev = machine::current();
    // SAFETY: the current thread exists while it runs.
    let next = match scheduler().pick(this, unsafe { &*prev }, leaving) {
        Next::Stay => return false,
        // The reference becomes the CPU's.
        Next::Thread(next) => Arc::into_raw(next),
        Next::Idle => handoff(this)
            .idle_thread
            .load(Ordering::Relaxed)
            .cast_const(),
    };
    handoff(this).prev.store(prev.cast_mut(), Ordering::Relaxed);
    handoff(this)
        .leaving
        .store(leaving as u8, Ordering::Relaxed);
    // SAFETY: interrupts are off; `next` was not running, or its CPU has finished leaving it, and
    // it lives at least until this CPU gives its reference away in `after_switch`.
    unsafe {
        machine::set_current(next);
        machine::switch(prev, next);
    }
    after_switch();
    true
}

/// Gives away the thread that this CPU has just left.
fn after_switch() {
    // Not the CPU that the caller left, which may have been long ago.
    let this = machine::this_cpu();
    let prev = handoff(this).prev.load(Ordering::Relaxed).cast_const();
    // SAFETY: the CPU still holds the reference of the thread that it has left.
    if unsafe { &*prev }.is_idle() {
        return;
    }
    // SAFETY: as above; it goes to `finish`.
    let prev = unsafe { Arc::from_raw(prev) };
    let leaving = match handoff(this).leaving.load(Ordering::Relaxed) {
        leaving if leaving == Leaving::Preempted as u8 => Leaving::Preempted,
        leaving if leaving == Leaving::Yielded as u8 => Leaving::Yielded,
        leaving if leaving == Leaving::Parking as u8 => Leaving::Parking,
        _ => Leaving::Exiting,
    };
    scheduler().finish(this, prev, leaving);
}

/// Runs threads, and halts while there are none.
pub fn run_idle() -> ! {
    assert!(current().is_idle(), "only the context of init_cpu idles");
    machine::interrupts_disable();
    let this = machine::this_cpu();
    let mut polling = Polling::new();
    let mut idle_since_ns = machine::now_ns();
    loop {
        scheduler().announce_idle(this);
        let now_ns = machine::now_ns();
        if switch_away(Leaving::Preempted) {
            polling.learn(now_ns.saturating_sub(idle_since_ns));
            idle_since_ns = machine::now_ns();
            scheduler().announce_idle(this);
            tlb::while_lazy(|| poll(this, idle_since_ns + polling.limit_ns()));
            continue;
        }
        if scheduler().has_dead() {
            machine::interrupts_enable();
            collect_dead();
            machine::interrupts_disable();
        }
        if scheduler().begin_halt(this) {
            scheduler().program_timer_exactly(this);
            tlb::while_lazy(|| {
                machine::halt();
                scheduler().after_halt(this);
            });
        }
    }
}

/// Waits until a waker has a thread for this CPU, but not past `limit_ns`.
fn poll(this: CpuId, limit_ns: u64) {
    machine::interrupts_enable();
    while !scheduler().has_queued(this)
        && !scheduler().is_claimed(this)
        && machine::now_ns() < limit_ns
    {
        machine::relax();
    }
    machine::interrupts_disable();
}
