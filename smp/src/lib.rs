//! CPUs, locks, sleeping and waking, run queues, timers, futexes and TLB shootdown.
//!
//! The machine is reached through [`Platform`], bound once by [`platform!`]. On a host
//! (`target_os` other than `none`) the module `fake` stands in for it: every host thread
//! is lazily a [`Thread`], so what is built on this crate can be tested there.
//! Which lock may be held when: `docs/locking.md`.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(
    not(target_os = "none"),
    allow(dead_code, reason = "on a host, only tests use the scheduler proper"),
    allow(
        clippy::missing_const_for_thread_local,
        reason = "loom's macro takes no const block"
    )
)]

extern crate alloc;

mod prim;

mod cpu;
mod cpu_clock;
#[cfg(not(target_os = "none"))]
pub mod fake;
mod futex;
mod guard;
mod links;
#[cfg(loom)]
pub mod loom_atomics;
mod machine;
#[cfg(all(test, loom))]
mod models;
mod mutex;
mod parking;
mod per_cpu;
mod platform;
mod policy;
mod polling_lock;
mod raw_lock;
mod registry;
mod ring_index;
mod scheduler;
mod spin_lock;
mod stats;
mod thread;
mod tlb;
mod wait_queue;

pub use cpu::{CpuId, CpuMask, MAX_CPUS};
pub use futex::{FutexError, futex_requeue, futex_wait, futex_wake};
pub use guard::{IrqGuard, PreemptGuard};
pub use machine::now_ns;
pub use mutex::{Mutex, MutexGuard};
pub use per_cpu::PerCpu;
pub use platform::{Ipi, Platform};
pub use policy::{Policy, Scheduling};
pub use polling_lock::{PollingLock, PollingLockGuard};
pub use registry::{thread_by_tid, thread_count, threads, try_for_each_thread};
pub use ring_index::RingIndex;
pub use scheduler::{
    init_cpu, on_reschedule_ipi, on_timer_interrupt, online_cpus, preempt, run_idle,
    should_preempt, stop_others, yield_now,
};
pub use spin_lock::{SpinLock, SpinLockGuard};
pub use stats::{CpuStats, cpu_stats};
pub use thread::{
    Current, NOTIFY_SIGNAL, NoSuchCpu, Thread, ThreadConfig, ThreadName, ThreadRef, ThreadState,
    Wake, current, current_ref, exit_current, park, sleep_until, spawn,
};
pub use tlb::{
    on_shootdown_ipi, service_shootdown, shootdown, shootdown_from_fault, shootdown_tables,
};
pub use wait_queue::{WaitError, WaitQueue, Waiter};
