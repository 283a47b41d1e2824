use core::sync::atomic::{AtomicU64, Ordering};

use crate::{CpuId, CpuMask, CpuStats, Current, Thread, ThreadConfig, ThreadRef};

static ONLINE: AtomicU64 = AtomicU64::new(1);

/// What a thread's deadline is kept in.
#[derive(Debug)]
pub(crate) struct TimerNode {}

impl TimerNode {
    pub(crate) fn new() -> Self {
        Self {}
    }
}

/// Returns the CPUs that run threads.
pub fn online_cpus() -> CpuMask {
    CpuMask::from_bits(ONLINE.load(Ordering::Relaxed))
}

/// Makes the caller's context the idle thread of this CPU and lets the CPU run threads. Called once on
/// each CPU, with interrupts off; `kernel_stack_top` is the end of the stack that the caller is on.
/// The caller then starts threads if it likes, and ends in [`run_idle`]. It must not sleep.
pub fn init_cpu(kernel_stack_top: usize) {
    let _ = kernel_stack_top;
    unimplemented!()
}

/// Runs threads, and halts while there are none.
pub fn run_idle() -> ! {
    unimplemented!()
}

/// Lets other threads that are ready run; returns at once if there are none. See `sched_yield(2)`.
pub fn yield_now() {
    #[cfg(not(target_os = "none"))]
    crate::prim::thread::yield_now();
}

/// Handles the timer interrupt: wakes whose deadline passed and notes the end of a time slice.
pub fn on_timer_interrupt() {
    unimplemented!()
}

/// Handles [`crate::Ipi::Reschedule`].
pub fn on_reschedule_ipi() {
    unimplemented!()
}

/// Says whether the current thread should be preempted, for the end of an interrupt handler.
#[inline]
pub fn should_preempt() -> bool {
    false
}

/// Lets the CPU run another thread now; called by the current thread itself, from the preemption
/// trampoline, with interrupts on.
pub fn preempt() {}

/// Sends [`crate::Ipi::Stop`] to all other CPUs, for a panic.
pub fn stop_others() {}

pub(crate) fn stats_of(_: CpuId) -> CpuStats {
    CpuStats::default()
}
pub(crate) fn on_affinity_change(_: &Thread) {}
pub(crate) fn nudge(_: &Thread) {}
pub(crate) fn collect_dead() {}

#[cfg(not(target_os = "none"))]
pub(crate) fn make_runnable(thread: &Thread) {
    crate::fake::make_runnable(thread)
}
#[cfg(not(target_os = "none"))]
pub(crate) fn block(current: Current, deadline_ns: Option<u64>) -> bool {
    crate::fake::block(&current, deadline_ns)
}
#[cfg(not(target_os = "none"))]
pub(crate) fn start(config: ThreadConfig) -> ThreadRef {
    crate::fake::start(config)
}
#[cfg(not(target_os = "none"))]
pub(crate) fn exit(current: Current) -> ! {
    crate::fake::exit(&current)
}

#[cfg(target_os = "none")]
pub(crate) fn make_runnable(_: &Thread) {
    unimplemented!()
}
#[cfg(target_os = "none")]
pub(crate) fn block(_: Current, _: Option<u64>) -> bool {
    unimplemented!()
}
#[cfg(target_os = "none")]
pub(crate) fn start(_: ThreadConfig) -> ThreadRef {
    unimplemented!()
}
#[cfg(target_os = "none")]
pub(crate) fn exit(_: Current) -> ! {
    unimplemented!()
}
