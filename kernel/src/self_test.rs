//! A short proof, at every boot, that kernel threads run, sleep and wake on
//! every CPU.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use smp::{CpuId, CpuMask, ThreadConfig, ThreadRef};

use crate::{log, memory};

/// How long the workers get: under emulation they wait for turns on the host.
const PATIENCE_NS: u64 = 5_000_000_000;

/// What a worker finds, and where it reports.
struct Job {
    cpu: CpuId,
    done: AtomicUsize,
    starter: ThreadRef,
}

/// Runs a thread on each of `count` CPUs; returns how many reported from there.
/// Called by a thread.
pub fn run(count: usize) -> usize {
    let jobs: Vec<Arc<Job>> = (0..count)
        .map(|n| {
            Arc::new(Job {
                cpu: CpuId(n as u32),
                done: AtomicUsize::new(0),
                starter: smp::current_ref(),
            })
        })
        .collect();
    for job in &jobs {
        let Some(stack) = memory::alloc_kernel_stack() else {
            log::warn!("kernel.boot", "no memory for the self-test");
            break;
        };
        let arg = Arc::into_raw(Arc::clone(job)) as usize;
        smp::spawn(ThreadConfig {
            affinity: CpuMask::only(job.cpu),
            on_reap: free_stack,
            ..ThreadConfig::new("self-test", work, arg, stack)
        });
    }
    // Acquire pairs with the Release in `work`.
    let completed = || {
        jobs.iter()
            .filter(|job| job.done.load(Ordering::Acquire) != 0)
            .count()
    };
    let deadline = crate::arch::uptime_ns() + PATIENCE_NS;
    while completed() < count && smp::park(Some(deadline), false) != smp::Wake::TimedOut {}
    completed()
}

extern "C" fn work(arg: usize) -> ! {
    {
        // SAFETY: `run` made the reference for us.
        let job = unsafe { Arc::from_raw(arg as *const Job) };
        // A sleep and a wake-up by the timer, then a wake-up of another CPU's thread.
        let until = crate::arch::uptime_ns() + 100_000;
        let woke = smp::sleep_until(until, false) == smp::Wake::TimedOut
            && crate::arch::uptime_ns() >= until;
        if woke && crate::arch::this_cpu() == job.cpu {
            job.done.store(1, Ordering::Release);
        }
        job.starter.unpark();
    }
    smp::exit_current()
}

/// Frees the kernel stack of a kernel thread that has ended.
pub fn free_stack(thread: &smp::Thread) {
    // SAFETY: `alloc_kernel_stack` made the stack, and the thread has left it.
    unsafe { memory::free_kernel_stack(thread.kernel_stack_top()) };
}
