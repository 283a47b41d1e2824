//! Who runs where and when.
//!
//! `decide`, `wake` and `time` decide, `context` switches stacks as it says, `entry` is what the rest of the system
//! calls. On a host, the host decides and `crate::fake` is the context.

#[cfg(target_os = "none")]
mod context;
mod decide;
mod entry;
#[cfg(all(test, loom))]
mod models;
mod polling;
mod run_queue;
#[cfg(all(test, not(loom)))]
mod run_queue_tests;
#[cfg(all(test, not(loom)))]
mod simulation;
mod time;
mod timer_queue;
#[cfg(all(test, not(loom)))]
mod timer_queue_tests;
mod wake;

#[cfg(not(target_os = "none"))]
use crate::fake as context;
pub(crate) use decide::CPU_SLOTS;

pub(crate) use context::{block, exit, make_runnable, start};
pub use context::{init_cpu, preempt, run_idle, yield_now};
#[cfg(target_os = "none")]
use entry::scheduler;
pub(crate) use entry::{collect_dead, nudge, on_affinity_change, stats_of};
pub use entry::{on_reschedule_ipi, on_timer_interrupt, online_cpus, should_preempt, stop_others};
pub(crate) use timer_queue::TimerNode;
