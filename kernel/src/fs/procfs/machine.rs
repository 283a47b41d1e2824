//! What `/proc` tells of the machine.

use crate::fs::{fd_table, mount};
use crate::libc::errno::Errno;
use crate::libc::time::{NS_PER_SEC, TICKS_PER_SEC};
use crate::libc::{system, time};
use crate::{arch, cmdline, memory};
use alloc::string::String;
use core::fmt::Write;
use smp::{CpuId, CpuStats, MAX_CPUS};

type Made = Result<(), Errno>;

/// Lets `write!` into a string be followed by `?`; it cannot fail.
fn done(result: core::fmt::Result) -> Made {
    result.map_err(|_| Errno::ENOMEM)
}

fn online_cpus() -> impl Iterator<Item = CpuId> {
    let online = smp::online_cpus();
    (0..MAX_CPUS as u32)
        .map(CpuId)
        .filter(move |&cpu| online.contains(cpu))
}

/// `/proc/cmdline`: the kernel's own command line.
pub fn command_line(_: u32, text: &mut String) -> Made {
    done(writeln!(text, "{}", cmdline::line()))
}

/// `/proc/cpuinfo`: a paragraph for each CPU.
pub fn cpus(_: u32, text: &mut String) -> Made {
    for cpu in online_cpus() {
        done(writeln!(text, "processor\t: {}", cpu.0))?;
        done(arch::describe_cpu(text))?;
        text.push('\n');
    }
    Ok(())
}

/// `/proc/filesystems`.
pub fn file_systems(_: u32, text: &mut String) -> Made {
    text.push_str("nodev\ttmpfs\nnodev\tdevtmpfs\nnodev\tproc\nnodev\tsysfs\n");
    Ok(())
}

/// Picks one of a CPU's counts.
type Count = fn(&CpuStats) -> u64;

/// `/proc/interrupts`: what each CPU has counted.
pub fn interrupts(_: u32, text: &mut String) -> Made {
    text.push_str("     ");
    for cpu in online_cpus() {
        done(write!(text, "{:>11}", alloc::format!("CPU{}", cpu.0)))?;
    }
    text.push('\n');
    let rows: [(&str, &str, Count); 3] = [
        ("LOC", "Local timer interrupts", |stats| {
            stats.timer_interrupts
        }),
        ("IPI", "Interrupts sent to other CPUs", |stats| {
            stats.ipis_sent
        }),
        ("TLB", "TLB shootdowns begun", |stats| stats.shootdowns),
    ];
    device_interrupts(text)?;
    for (name, meaning, count) in rows {
        done(write!(text, "{name:>4}:"))?;
        for cpu in online_cpus() {
            done(write!(text, "{:>11}", count(&smp::cpu_stats(cpu))))?;
        }
        done(writeln!(text, "   {meaning}"))?;
    }
    Ok(())
}

/// The rows of devices: each with its vector, and what has its interrupts.
#[cfg(target_os = "none")]
fn device_interrupts(text: &mut String) -> Made {
    const LOCAL: [&str; 3] = ["timer", "reschedule", "TLB shootdown"];
    for row in crate::interrupts::collect() {
        if LOCAL.contains(&row.name) {
            continue;
        }
        done(write!(text, "{:>4}:", row.vector))?;
        for count in row.per_cpu {
            done(write!(text, "{count:>11}"))?;
        }
        done(writeln!(text, "   {}", row.name))?;
    }
    Ok(())
}

/// The host's are not ours.
#[cfg(not(target_os = "none"))]
fn device_interrupts(_: &mut String) -> Made {
    Ok(())
}

/// `/proc/threads`: a line for each thread, the kernel's own among them: id, state, the CPU it runs or last
/// ran on, seconds on CPUs, name.
pub fn threads(_: u32, text: &mut String) -> Made {
    for thread in smp::threads() {
        let state = match thread.state() {
            smp::ThreadState::Exited => "ended",
            smp::ThreadState::Sleeping => "waiting",
            smp::ThreadState::Running if thread.is_queued() => "ready",
            smp::ThreadState::Running => "running",
        };
        let micros = thread.cpu_time_ns() / 1000;
        done(writeln!(
            text,
            "{:>7} {state:<7} {:>3} {:>6}.{:06} {}",
            thread.tid(),
            thread.last_cpu().0,
            micros / 1_000_000,
            micros % 1_000_000,
            thread.name()
        ))?;
    }
    Ok(())
}

/// `/proc/loadavg`. Nobody averages the load: the first three are what is ready to run now.
pub fn load(_: u32, text: &mut String) -> Made {
    let threads = smp::threads();
    let running = threads
        .iter()
        .filter(|thread| thread.state() == smp::ThreadState::Running && !thread.is_idle())
        .count();
    let newest = threads.iter().map(|thread| thread.tid()).max().unwrap_or(0);
    let (load, total) = (running.saturating_sub(1), threads.len());
    done(writeln!(
        text,
        "{load}.00 {load}.00 {load}.00 {running}/{total} {newest}"
    ))
}

/// `/proc/meminfo`, in KiB.
pub fn memory(_: u32, text: &mut String) -> Made {
    let stats = memory::memory_stats();
    let lines = [
        ("MemTotal", stats.total),
        ("MemFree", stats.free),
        ("MemAvailable", stats.available),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("AnonPages", stats.anonymous),
        ("Mapped", stats.mapped),
        (
            "Shmem",
            (crate::fs::content::used_pages() * memory::PAGE_SIZE as u64) as usize,
        ),
        ("CommitLimit", stats.commit_limit),
        ("Committed_AS", stats.committed),
    ];
    for (name, bytes) in lines {
        done(writeln!(
            text,
            "{:<16}{:>8} kB",
            alloc::format!("{name}:"),
            bytes / 1024
        ))?;
    }
    Ok(())
}

/// `/proc/mounts`.
pub fn mounts(_: u32, text: &mut String) -> Made {
    for mount in mount::collect_mounts() {
        done(writeln!(
            text,
            "{} {} {} {} 0 0",
            mount.source, mount.path, mount.fs_type, mount.options
        ))?;
    }
    Ok(())
}

/// `/proc/self/mountinfo`.
pub fn mount_info(_: u32, text: &mut String) -> Made {
    for (index, mount) in mount::collect_mounts().into_iter().enumerate() {
        let (id, parent) = (index + 1, usize::from(index > 0));
        done(writeln!(
            text,
            "{id} {parent} 0:{id} / {} {} - {} {} {}",
            mount.path, mount.options, mount.fs_type, mount.source, mount.options
        ))?;
    }
    Ok(())
}

fn ticks(ns: u64) -> u64 {
    ns / (NS_PER_SEC / TICKS_PER_SEC)
}

/// `/proc/stat`. Time is not split into user and system: here the two are one.
pub fn statistics(_: u32, text: &mut String) -> Made {
    let now = time::monotonic_ns();
    let times = |cpu: CpuId| {
        let idle = smp::cpu_stats(cpu).idle_ns.min(now);
        (ticks(now - idle), ticks(idle))
    };
    let (busy, idle) = online_cpus()
        .map(times)
        .fold((0, 0), |sum, cpu| (sum.0 + cpu.0, sum.1 + cpu.1));
    done(writeln!(text, "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0"))?;
    for cpu in online_cpus() {
        let (busy, idle) = times(cpu);
        done(writeln!(text, "cpu{} {busy} 0 0 {idle} 0 0 0 0 0 0", cpu.0))?;
    }
    let sum = |count: Count| {
        online_cpus()
            .map(|cpu| count(&smp::cpu_stats(cpu)))
            .sum::<u64>()
    };
    let threads = smp::threads();
    let running = threads
        .iter()
        .filter(|thread| thread.state() == smp::ThreadState::Running && !thread.is_idle())
        .count();
    let newest = threads.iter().map(|thread| thread.tid()).max().unwrap_or(0);
    let boot = time::realtime_ns().saturating_sub(now) / NS_PER_SEC;
    done(writeln!(
        text,
        "intr {}",
        sum(|stats| stats.timer_interrupts)
    ))?;
    done(writeln!(
        text,
        "ctxt {}",
        sum(|stats| stats.context_switches)
    ))?;
    done(writeln!(
        text,
        "btime {boot}\nprocesses {newest}\nprocs_running {running}\nprocs_blocked 0"
    ))
}

/// `/proc/uptime`: seconds since power-on, and idle seconds of all CPUs together.
pub fn uptime(_: u32, text: &mut String) -> Made {
    let idle: u64 = online_cpus().map(|cpu| smp::cpu_stats(cpu).idle_ns).sum();
    let split = |ns: u64| (ns / NS_PER_SEC, ns % NS_PER_SEC / 10_000_000);
    let ((up, up_part), (idle, idle_part)) = (split(time::monotonic_ns()), split(idle));
    done(writeln!(text, "{up}.{up_part:02} {idle}.{idle_part:02}"))
}

/// The C library in the image, as `platform.libc_ver()` looks for it in the running program.
const LIBC: &str = "musl-1.2.6";

/// `/proc/version`.
pub fn version(_: u32, text: &mut String) -> Made {
    done(writeln!(
        text,
        "{} version {} ({LIBC}) {}",
        system::NAME,
        system::RELEASE,
        system::VERSION
    ))
}

/// The number of descriptors in use, for `/proc/self/status`.
pub fn descriptor_slots() -> usize {
    fd_table::FILES.len()
}
