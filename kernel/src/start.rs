//! The way from the first line of Rust to the interpreter.

use smp::ThreadConfig;
use spin::Once;

use crate::boot::{BootInfo, PhysRange};
use crate::libc::time;
use crate::memory::PhysAddr;
use crate::{
    arch, cmdline, console, drivers, fs, libc, log, memory, net, python, report, self_test,
};

smp::platform!(arch::Machine);

/// What came of starting the CPUs: how many there are, how many run, and on how many the self-test did.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuCounts {
    /// CPUs of the machine that could be used.
    pub expected: usize,
    /// CPUs that run threads.
    pub online: usize,
    /// CPUs on which a thread of the self-test did its work.
    pub tested: usize,
}

static CPU_COUNTS: Once<CpuCounts> = Once::new();

/// Returns what came of starting the CPUs.
pub fn cpu_counts() -> CpuCounts {
    CPU_COUNTS.get().copied().unwrap_or_default()
}

static BOOT_INFO: Once<&'static BootInfo> = Once::new();

/// Runs on the boot CPU's first stack, with the boot page tables and interrupts
/// off; the serial port works. Ends as that CPU's idle thread.
pub fn start(boot_info: &'static BootInfo) -> ! {
    report::set_action(cmdline::find_panic_action(boot_info.command_line()));
    arch::init_early(boot_info);
    log::info!(
        "kernel.boot",
        "PythonOS, {} boot, {}",
        boot_info.protocol,
        arch::brand()
    );

    memory::init(boot_info);
    let stats = memory::memory_stats();
    log::info!("kernel.boot", "PMM ready: {} MiB", stats.total >> 20);
    log::info!("kernel.boot", "VMM ready");
    read_command_line(boot_info);
    set_clock();

    arch::init_interrupts();
    arch::start_secondary_cpus(boot_info);

    BOOT_INFO.call_once(|| boot_info);
    let stack = memory::alloc_kernel_stack().expect("memory for the first thread");
    smp::spawn(ThreadConfig {
        on_reap: self_test::free_stack,
        ..ThreadConfig::new("init", init, 0, stack)
    });
    smp::run_idle()
}

/// The first thread: everything that may sleep.
extern "C" fn init(_: usize) -> ! {
    let boot_info = BOOT_INFO.get().expect("`start` has set it");
    let (online, expected) = arch::wait_for_secondary_cpus(boot_info);
    log::info!("kernel.boot", "SMP online {online}/{expected}");
    let completed = self_test::run(online);
    if completed == online {
        log::info!("kernel.boot", "kernel thread self-test OK");
    } else {
        log::error!("kernel.boot", "kernel thread self-test FAILED");
    }
    log::info!("kernel.boot", "SMP workers {completed}/{online} completed");
    CPU_COUNTS.call_once(|| CpuCounts {
        expected,
        online,
        tested: completed,
    });

    fs::system::mount_all(
        boot_info.modules().iter().map(module_bytes),
        (python::EXECUTABLE, arch::image::program()),
    )
    .expect("an empty file system takes its first directories");
    drivers::init();
    net::timers::init();
    console::init().expect("memory for the console's thread");
    fs::system::open_standard_streams().expect("/dev has a console");
    python::configure(cmdline::options());
    if let Err(errno) = python::start() {
        panic!("no memory for Python's first thread: {errno:?}");
    }
    smp::exit_current()
}

/// Returns the contents of a boot module: a piece of the system image.
fn module_bytes(module: &PhysRange) -> &'static [u8] {
    let len = (module.end - module.start) as usize;
    // SAFETY: the direct map covers the modules, and their memory is never anybody else's.
    unsafe { core::slice::from_raw_parts(memory::phys_to_virt(PhysAddr(module.start)), len) }
}

/// Sets the time of day from the machine's own clock.
fn set_clock() {
    match arch::rtc::read().and_then(|seconds| u64::try_from(seconds).ok()) {
        Some(seconds) => time::set_realtime_ns(seconds * time::NS_PER_SEC),
        None => log::warn!("kernel.boot", "no real-time clock: it is 1970"),
    }
}

fn read_command_line(boot_info: &BootInfo) {
    let options = cmdline::init(boot_info.command_line());
    libc::dispatch::set_tracing(options.trace_syscalls);
    if boot_info.is_command_line_cut() {
        log::warn!("kernel.boot", "the command line is too long and was cut");
    }
    if options.is_unterminated {
        log::warn!("kernel.boot", "a quote on the command line is not closed");
    }
    for word in &options.unknown {
        log::warn!("kernel.boot", "unknown option {word:?} on the command line");
    }
}
