//! The monotonic clock: the time-stamp counter, read directly.
//!
//! Its rate comes from CPUID where a CPU or hypervisor tells it, else from a
//! few milliseconds beside a timer of known rate: HPET, ACPI power management
//! timer, or 8254. The count starts at power-on, so nanoseconds of it are
//! uptime. All CPUs' counters agree: they are reset together, and emulators derive them
//! from one clock.

use core::arch::x86_64::{__cpuid, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::port::Port;

use super::acpi::Machine;

const NS_PER_S: u64 = 1_000_000_000;
/// How long the counter is compared with a reference.
const CALIBRATION_NS: u64 = 5_000_000;
/// Readings at each end of the comparison, of which the tightest counts.
const READINGS: usize = 8;

/// Nanoseconds per count, times 2^32; 0 until the clock runs.
static NS_PER_COUNT: AtomicU64 = AtomicU64::new(0);
/// Counts per nanosecond, times 2^32.
static COUNTS_PER_NS: AtomicU64 = AtomicU64::new(0);
static HZ: AtomicU64 = AtomicU64::new(0);

/// Where the counter's rate came from, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub hz: u64,
    pub source: &'static str,
}

/// Reads the counter, after everything before it in the program.
pub fn counter() -> u64 {
    // SAFETY: LFENCE and RDTSC exist on every x86-64 CPU. LFENCE keeps RDTSC
    // from being executed early (Intel SDM volume 2, RDTSC).
    unsafe {
        core::arch::x86_64::_mm_lfence();
        _rdtsc()
    }
}

/// Nanoseconds since power-on; 0 until the clock runs.
pub fn now_ns() -> u64 {
    // Relaxed: set once, before other CPUs run.
    scale(counter(), NS_PER_COUNT.load(Ordering::Relaxed))
}

/// Counter value at a time since power-on.
pub fn counter_at(ns: u64) -> u64 {
    scale(ns, COUNTS_PER_NS.load(Ordering::Relaxed))
}

/// How often the counter counts in a second; 0 until the clock runs.
pub fn hz() -> u64 {
    HZ.load(Ordering::Relaxed)
}

fn scale(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

/// Waits for a short time by spinning: for hardware that wants pauses.
pub fn spin_ns(ns: u64) {
    let end = now_ns() + ns;
    while now_ns() < end {
        core::hint::spin_loop();
    }
}

/// Starts the clock. The boot page tables must still be in use.
pub fn init(machine: &Machine) -> Rate {
    let rate = rate_from_cpuid().unwrap_or_else(|| rate_from_reference(machine));
    HZ.store(rate.hz, Ordering::Relaxed);
    NS_PER_COUNT.store(
        ((u128::from(NS_PER_S) << 32) / u128::from(rate.hz)) as u64,
        Ordering::Relaxed,
    );
    COUNTS_PER_NS.store(
        ((u128::from(rate.hz) << 32) / u128::from(NS_PER_S)) as u64,
        Ordering::Relaxed,
    );
    rate
}

fn rate_from_cpuid() -> Option<Rate> {
    // CPUID leaf 0x15 (Intel SDM volume 2): EBX/EAX is counter per crystal
    // clock, ECX the crystal's frequency, 0 where it is not told.
    if __cpuid(0).eax >= 0x15 {
        let leaf = __cpuid(0x15);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            let hz = u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax);
            return Some(Rate {
                hz,
                source: "CPUID 0x15",
            });
        }
    }
    // Hypervisors (CPUID 1, ECX bit 31) may have leaf 0x40000010: kHz in EAX.
    const HYPERVISOR: u32 = 1 << 31;
    if __cpuid(1).ecx & HYPERVISOR != 0 && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        let khz = __cpuid(0x4000_0010).eax;
        if khz != 0 {
            return Some(Rate {
                hz: u64::from(khz) * 1000,
                source: "hypervisor",
            });
        }
    }
    None
}

/// A timer of known rate that counts up.
trait Reference {
    /// Counts per second, times 10^6 for the odd ones.
    fn micro_hz(&self) -> u128;
    fn read(&mut self) -> u64;
    /// The counter wraps at 2 to this power.
    fn bits(&self) -> u32;
}

fn rate_from_reference(machine: &Machine) -> Rate {
    if let Some(mut hpet) = machine.hpet.and_then(Hpet::new) {
        return Rate {
            hz: compare(&mut hpet),
            source: "HPET",
        };
    }
    if let Some(port) = machine.pm_timer {
        let mut timer = PmTimer(Port::new(port));
        return Rate {
            hz: compare(&mut timer),
            source: "ACPI timer",
        };
    }
    Rate {
        hz: compare(&mut Pit::start()),
        source: "8254",
    }
}

/// Counts per second of the time-stamp counter, as the reference sees it.
fn compare(reference: &mut impl Reference) -> u64 {
    let wanted = (reference.micro_hz() * u128::from(CALIBRATION_NS)
        / (u128::from(NS_PER_S) * 1_000_000)) as u64;
    let mask = u64::MAX >> (64 - reference.bits());
    let (start_reference, start_counter) = read_both(reference);
    while reference.read().wrapping_sub(start_reference) & mask < wanted {
        core::hint::spin_loop();
    }
    let (end_reference, end_counter) = read_both(reference);
    let elapsed = end_reference.wrapping_sub(start_reference) & mask;
    let counts = end_counter - start_counter;
    (u128::from(counts) * reference.micro_hz() / (u128::from(elapsed) * 1_000_000)) as u64
}

/// Reads both at one moment, as nearly as it goes: an interruption by the host
/// between the two reads would spoil the result, so the quickest reading counts.
fn read_both(reference: &mut impl Reference) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..READINGS {
        let before = counter();
        let reading = reference.read();
        let after = counter();
        if after - before < best.0 {
            best = (after - before, reading, before + (after - before) / 2);
        }
    }
    (best.1, best.2)
}

/// The high precision event timer (IA-PC HPET specification 1.0a, 2.3).
struct Hpet {
    base: *mut u64,
    period_fs: u64,
    bits: u32,
}

impl Hpet {
    const CAPABILITIES: usize = 0;
    const CONFIGURATION: usize = 2;
    const MAIN_COUNTER: usize = 30;
    /// The longest period that the specification allows.
    const MAX_PERIOD_FS: u64 = 100_000_000;

    fn new(address: u64) -> Option<Self> {
        super::early_map::ensure(address, 0x400);
        let base = address as *mut u64;
        // SAFETY: ACPI says that the HPET's registers are there; the boot page
        // tables map them, uncached by the firmware's MTRRs.
        unsafe {
            let capabilities = base.add(Self::CAPABILITIES).read_volatile();
            let period_fs = capabilities >> 32;
            if period_fs == 0 || period_fs > Self::MAX_PERIOD_FS {
                return None;
            }
            let configuration = base.add(Self::CONFIGURATION).read_volatile();
            base.add(Self::CONFIGURATION)
                .write_volatile(configuration | 1);
            let bits = if capabilities & 1 << 13 != 0 { 64 } else { 32 };
            Some(Self {
                base,
                period_fs,
                bits,
            })
        }
    }
}

impl Reference for Hpet {
    fn micro_hz(&self) -> u128 {
        1_000_000_000_000_000_000_000 / u128::from(self.period_fs)
    }

    fn read(&mut self) -> u64 {
        // SAFETY: as in `new`.
        unsafe { self.base.add(Self::MAIN_COUNTER).read_volatile() }
    }

    fn bits(&self) -> u32 {
        self.bits
    }
}

/// The ACPI power management timer (ACPI 6.5, 4.8.3.3): 3.579545 MHz; 24 bits
/// are enough and always there.
struct PmTimer(Port<u32>);

impl Reference for PmTimer {
    fn micro_hz(&self) -> u128 {
        3_579_545_000_000
    }

    fn read(&mut self) -> u64 {
        // SAFETY: the FADT names the port; reading it changes nothing.
        u64::from(unsafe { self.0.read() })
    }

    fn bits(&self) -> u32 {
        24
    }
}

/// Channel 2 of the 8254 timer, whose gate and output are in port 0x61.
struct Pit {
    data: Port<u8>,
    command: Port<u8>,
}

impl Pit {
    fn start() -> Self {
        let mut pit = Self {
            data: Port::new(0x42),
            command: Port::new(0x43),
        };
        let mut control = Port::<u8>::new(0x61);
        // SAFETY: channel 2 drives the speaker and nothing else; the speaker is
        // switched off (bit 1), the gate on (bit 0).
        unsafe {
            let old = control.read();
            control.write(old & !2 | 1);
            // Channel 2, both bytes, mode 0, binary; count down from 65536.
            pit.command.write(0b1011_0000);
            pit.data.write(0);
            pit.data.write(0);
        }
        pit
    }
}

impl Reference for Pit {
    fn micro_hz(&self) -> u128 {
        1_193_181_666_666
    }

    fn read(&mut self) -> u64 {
        // SAFETY: latching and reading channel 2 changes nothing else.
        let count = unsafe {
            self.command.write(0b1000_0000);
            u16::from_le_bytes([self.data.read(), self.data.read()])
        };
        // It counts down.
        u64::from(count.wrapping_neg())
    }

    fn bits(&self) -> u32 {
        16
    }
}
