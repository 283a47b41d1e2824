//! What becomes of interrupts: each source is counted and has a handler of the kernel's or none, and
//! Python can have each of its interrupts told.
//!
//! The interrupt handler puts an event into the ring of its CPU, which nobody else fills, and wakes who
//! waits. A ring that is full loses the event; that is counted and told with the next one.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use smp::{CpuId, MAX_CPUS, RingIndex, SpinLock, WaitQueue};
use spin::Once;

use crate::arch;
use crate::arch::irq::VECTORS;

/// Called on an interrupt stack with interrupts off: record, wake, return.
pub type Handler = fn();

/// Events that a CPU's ring holds.
const RING_SIZE: usize = 1024;

/// One CPU's counts of one source; that CPU alone writes the first two.
#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    lost: AtomicU64,
    /// How many of those lost have been told of.
    told: AtomicU64,
}

/// Something that interrupts.
struct Source {
    name: SpinLock<&'static str>,
    handler: AtomicPtr<()>,
    is_watched: AtomicBool,
    cpus: [Counts; MAX_CPUS],
}

/// One interrupt that Python is told of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// Its number.
    pub vector: u32,
    /// The CPU that took it.
    pub cpu: u32,
    /// When, in nanoseconds since power-on.
    pub time_ns: u64,
    /// How many of this vector's on this CPU were lost since the one before.
    pub lost: u64,
}

/// The events of one CPU: vector and time.
struct Ring {
    index: RingIndex,
    places: Box<[[AtomicU64; 2]]>,
}

/// The rings of all CPUs.
struct Rings {
    by_cpu: Vec<Ring>,
    /// Held while events are taken out.
    taking: SpinLock<()>,
}

static SOURCES: [AtomicPtr<Source>; VECTORS] = [const { AtomicPtr::new(ptr::null_mut()) }; VECTORS];
static RINGS: Once<Rings> = Once::new();
static WAITERS: WaitQueue = WaitQueue::new();
/// Interrupts that nobody has asked for.
static STRAY: AtomicU64 = AtomicU64::new(0);

fn source(vector: u32) -> Option<&'static Source> {
    let place = SOURCES.get(vector as usize)?;
    // Acquire pairs with the Release in `add`. SAFETY: sources are never freed.
    unsafe { place.load(Ordering::Acquire).as_ref() }
}

/// Names a source and says who handles it. One that was there before keeps its counts.
pub fn add(vector: u32, name: &'static str, handler: Option<Handler>) {
    let handler = handler.map_or(ptr::null_mut(), |handler| handler as *mut ());
    let place = &SOURCES[vector as usize];
    if let Some(source) = source(vector) {
        *source.name.lock() = name;
        source.handler.store(handler, Ordering::Release);
        return;
    }
    let source = Box::leak(Box::new(Source {
        name: SpinLock::new(name),
        handler: AtomicPtr::new(handler),
        is_watched: AtomicBool::new(false),
        cpus: [const {
            Counts {
                taken: AtomicU64::new(0),
                lost: AtomicU64::new(0),
                told: AtomicU64::new(0),
            }
        }; MAX_CPUS],
    }));
    // Release pairs with the Acquire in `source`.
    place.store(source, Ordering::Release);
}

/// Takes an interrupt: counts it, tells Python if it is to be told, calls the handler. Returns whether
/// somebody has asked for it. Interrupts are off.
pub fn take(vector: u32) -> bool {
    let Some(source) = source(vector) else {
        STRAY.fetch_add(1, Ordering::Relaxed);
        return false;
    };
    let cpu = arch::this_cpu();
    let counts = &source.cpus[cpu.index()];
    add_one(&counts.taken);
    if source.is_watched.load(Ordering::Relaxed) {
        tell(vector, cpu, counts);
    }
    let handler = source.handler.load(Ordering::Acquire);
    if !handler.is_null() {
        // SAFETY: only `add` stores there, and it stores `Handler`s.
        let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
        handler();
    }
    true
}

/// Adds to a count that this CPU alone writes, with interrupts off.
fn add_one(count: &AtomicU64) {
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn tell(vector: u32, cpu: CpuId, counts: &Counts) {
    let ring = RINGS.get().and_then(|rings| rings.by_cpu.get(cpu.index()));
    let Some(ring) = ring else { return };
    let is_told = ring.index.push(|at| {
        ring.places[at][0].store(vector.into(), Ordering::Relaxed);
        ring.places[at][1].store(arch::uptime_ns(), Ordering::Relaxed);
    });
    if !is_told {
        add_one(&counts.lost);
    }
    WAITERS.wake_one();
}

/// Has each interrupt of a vector told, or no longer; false if nobody has asked for that vector.
pub fn watch(vector: u32, is_on: bool) -> bool {
    let Some(source) = source(vector) else {
        return false;
    };
    RINGS.call_once(|| Rings {
        by_cpu: (0..arch::cpu_count())
            .map(|_| Ring {
                index: RingIndex::new(RING_SIZE),
                places: (0..RING_SIZE).map(|_| Default::default()).collect(),
            })
            .collect(),
        taking: SpinLock::new(()),
    });
    source.is_watched.store(is_on, Ordering::Relaxed);
    true
}

/// Tells whether a source has that name.
pub fn is_named(vector: u32, name: &str) -> bool {
    source(vector).is_some_and(|source| *source.name.lock() == name)
}

/// Takes the oldest events of each CPU in turn; returns how many.
pub fn take_events(events: &mut [Event]) -> usize {
    let Some(rings) = RINGS.get() else { return 0 };
    let _turn = rings.taking.lock();
    let mut count = 0;
    for (cpu, ring) in rings.by_cpu.iter().enumerate() {
        while count < events.len() {
            let read = |at: usize| {
                let [vector, time] = &ring.places[at];
                (vector.load(Ordering::Relaxed), time.load(Ordering::Relaxed))
            };
            let Some((vector, time_ns)) = ring.index.pop(read) else {
                break;
            };
            let vector = vector as u32;
            events[count] = Event {
                vector,
                cpu: cpu as u32,
                time_ns,
                lost: source(vector).map_or(0, |source| source.cpus[cpu].take_lost()),
            };
            count += 1;
        }
    }
    count
}

impl Counts {
    /// Returns how many were lost that nobody has been told of. One caller at a time.
    fn take_lost(&self) -> u64 {
        let lost = self.lost.load(Ordering::Relaxed);
        lost - self.told.swap(lost, Ordering::Relaxed)
    }
}

/// Waits until there are events, while `wants_any` says so, and takes some.
pub fn wait_for_events(events: &mut [Event], wants_any: impl Fn() -> bool) -> usize {
    let look = || {
        let count = if wants_any() { take_events(events) } else { 0 };
        (count > 0).then_some(count)
    };
    WAITERS
        .wait(None, false, look)
        .expect("the wait has no deadline and no signal ends it")
}

/// Makes who waits look again.
pub fn wake() {
    WAITERS.wake_all();
}

/// What is known of a source.
pub struct Row {
    /// Its number.
    pub vector: u32,
    /// Its name.
    pub name: &'static str,
    /// How often each CPU has taken it.
    pub per_cpu: Vec<u64>,
    /// How many events were lost.
    pub lost: u64,
}

/// Lists the sources in order of vectors.
pub fn collect() -> Vec<Row> {
    let cpus = arch::cpu_count();
    let row = |vector| {
        let source = source(vector)?;
        let counts = &source.cpus[..cpus];
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some(Row {
            vector,
            name: *source.name.lock(),
            per_cpu: counts.iter().map(|counts| get(&counts.taken)).collect(),
            lost: counts.iter().map(|counts| get(&counts.lost)).sum(),
        })
    };
    (0..VECTORS as u32).filter_map(row).collect()
}

/// Returns how many interrupts came that nobody has asked for.
pub fn stray() -> u64 {
    STRAY.load(Ordering::Relaxed)
}

/// Returns how many interrupts of all sources a CPU has taken.
pub fn taken_by(cpu: CpuId) -> u64 {
    let sources = (0..VECTORS as u32).filter_map(source);
    sources
        .map(|source| source.cpus[cpu.index()].taken.load(Ordering::Relaxed))
        .sum()
}
