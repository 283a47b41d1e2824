//! Threads and CPUs.

use smp::{CpuId, MAX_CPUS, ThreadName, ThreadState};

use super::call::Call;
use super::enter::{enter, enter_owned};
use super::object::{self, Result};
use crate::arch;
use crate::interrupts;
use crate::libc::time;

/// What is known of a thread.
struct Row {
    tid: u32,
    name: ThreadName,
    state: &'static str,
    cpu: CpuId,
    cpu_time_ns: u64,
}

/// `threads()`.
pub fn threads(_: &Call) -> Result {
    let rows = enter_owned(|| {
        let row = |thread: &smp::ThreadRef| Row {
            tid: thread.tid(),
            name: thread.name(),
            state: match thread.state() {
                ThreadState::Exited => "ended",
                ThreadState::Sleeping => "waiting",
                ThreadState::Running if thread.is_queued() => "ready",
                ThreadState::Running => "running",
            },
            cpu: thread.last_cpu(),
            cpu_time_ns: thread.cpu_time_ns(),
        };
        smp::threads()
            .iter()
            .map(row)
            .collect::<alloc::vec::Vec<_>>()
    });
    object::list(rows.iter(), |row| {
        object::tuple([
            object::int(row.tid.into()),
            object::str(valid_start(row.name.as_bytes())),
            object::str(row.state.as_bytes()),
            object::int(row.cpu.0.into()),
            object::int(row.cpu_time_ns),
        ])
    })
}

/// Returns the longest beginning that is UTF-8: a name may be cut in the middle of a character.
fn valid_start(bytes: &[u8]) -> &[u8] {
    match core::str::from_utf8(bytes) {
        Ok(_) => bytes,
        Err(error) => &bytes[..error.valid_up_to()],
    }
}

/// `cpus()`.
pub fn cpus(_: &Call) -> Result {
    let online = smp::online_cpus();
    let count = arch::cpu_count().clamp(1, MAX_CPUS);
    object::list((0..count as u32).map(CpuId), |cpu| {
        let (stats, now, interrupts) = enter(|| {
            let now = time::monotonic_ns();
            (smp::cpu_stats(cpu), now, interrupts::taken_by(cpu))
        });
        let idle = stats.idle_ns.min(now);
        object::tuple([
            object::int(cpu.0.into()),
            object::bool(online.contains(cpu)),
            object::int(now - idle),
            object::int(idle),
            object::int(stats.queued as u64),
            object::int(stats.context_switches),
            object::int(stats.steals),
            object::int(stats.ipis_sent),
            object::int(interrupts),
        ])
    })
}
