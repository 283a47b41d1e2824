//! Who runs where and when.

mod entry;

pub(crate) use entry::{
    TimerNode, block, collect_dead, exit, make_runnable, nudge, on_affinity_change, start, stats_of,
};
pub use entry::{
    init_cpu, on_reschedule_ipi, on_timer_interrupt, online_cpus, preempt, run_idle,
    should_preempt, stop_others, yield_now,
};
