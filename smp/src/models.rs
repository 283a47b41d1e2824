//! Loom models of locks, futexes, wait queues and TLB shootdown: the code as it ships, between
//! loom's threads. Those of the scheduler are beside it.

use alloc::sync::Arc;
use core::{cell::Cell, sync::atomic::AtomicU32 as PlainU32};

use loom::{cell::UnsafeCell, model::Builder, thread};

use crate::{
    CpuId, CpuMask, FutexError, Ipi, Mutex, RingIndex, ThreadRef, WaitQueue, current_ref, fake,
    futex_requeue, futex_wait, futex_wake,
    machine::{self, Simulated},
    prim::{AtomicBool, AtomicU32, Ordering},
    raw_lock::RawSpinLock,
    tlb::Shootdowns,
};

const ALL: u32 = u32::MAX;

/// Checks a model in all executions with at most so many preemptions, and prints how many there were.
/// `block` in `crate::fake` yields, so only the handshake orders memory.
pub(crate) fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    let executions = Arc::new(PlainU32::new(0));
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

/// A cell that loom watches, for what a lock or a wake-up is to order.
pub(crate) struct Watched(UnsafeCell<u32>);

// SAFETY: loom reports any two accesses that are not ordered.
unsafe impl Sync for Watched {}
// SAFETY: as above.
unsafe impl Send for Watched {}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(0)))
    }

    pub(crate) fn add(&self) {
        // SAFETY: loom reports it if this is not exclusive.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    pub(crate) fn get(&self) -> u32 {
        // SAFETY: loom reports it if somebody writes meanwhile.
        self.0.with(|value| unsafe { *value })
    }
}

/// What `loom_atomics` is for: with loom's own the load comes first in all executions.
#[test]
fn a_load_is_tried_before_and_after_a_change_by_who_loads_first() {
    let seen = Arc::new(PlainU32::new(0));
    let loaded = seen.clone();
    check(2, move || {
        let value = Arc::new(AtomicU32::new(0));
        let changer = {
            let value = value.clone();
            thread::spawn(move || {
                let old = value.load(Ordering::Relaxed);
                value.store(old + 1, Ordering::Relaxed);
            })
        };
        loaded.fetch_or(1 << value.load(Ordering::Relaxed), Ordering::Relaxed);
        changer.join().expect("the changer does not panic");
    });
    assert_eq!(seen.load(Ordering::Relaxed), 0b11);
}

#[test]
fn a_spin_lock_excludes() {
    check(6, || {
        let value = Watched::new();
        let lock = Arc::new(RawSpinLock::new());
        let add = |value: &Watched, lock: &RawSpinLock| {
            lock.acquire(|| ());
            value.add();
            lock.release();
        };
        let other = {
            let (value, lock) = (value.clone(), lock.clone());
            thread::spawn(move || add(&value, &lock))
        };
        add(&value, &lock);
        other.join().expect("the other thread does not panic");
        assert_eq!(value.get(), 2);
    });
}

#[test]
fn a_mutex_excludes_and_wakes() {
    check(4, || {
        let value = Watched::new();
        let mutex = Arc::new(Mutex::new(()));
        let add = |value: &Watched, mutex: &Mutex<()>| {
            let _guard = mutex.lock();
            value.add();
        };
        let other = {
            let (value, mutex) = (value.clone(), mutex.clone());
            thread::spawn(move || add(&value, &mutex))
        };
        add(&value, &mutex);
        other.join().expect("the other thread does not panic");
        assert_eq!(value.get(), 2);
    });
}

#[test]
fn a_futex_waiter_misses_no_wake_up() {
    check(4, || {
        let (value, message) = (Arc::new(AtomicU32::new(0)), Watched::new());
        let waker = {
            let (value, message) = (value.clone(), message.clone());
            thread::spawn(move || {
                message.add();
                // Relaxed: only the bucket lock makes check and change see each other.
                value.store(1, Ordering::Relaxed);
                futex_wake(0, 1, ALL);
            })
        };
        // A wake-up for no reason: the waiter may find that it was woken before its own comes.
        current_ref().unpark();
        let check = || value.load(Ordering::Relaxed) == 0;
        match futex_wait(0, check, None, ALL, false) {
            Ok(()) => assert_eq!(message.get(), 1),
            Err(error) => assert_eq!(error, FutexError::Again),
        }
        waker.join().expect("the waker does not panic");
    });
}

#[test]
fn a_futex_waiter_that_times_out_is_not_counted_as_woken() {
    check(4, || {
        let waker = thread::spawn(|| futex_wake(0, 1, ALL));
        let result = futex_wait(0, || true, Some(1), ALL, false);
        let woken = waker.join().expect("the waker does not panic");
        assert_eq!(woken, usize::from(result.is_ok()));
    });
}

#[test]
fn a_futex_waiter_that_times_out_while_it_is_moved_is_found() {
    check(4, || {
        let mover = thread::spawn(|| {
            // The other bucket: there are two.
            let moved = futex_requeue(0, 1, 0, 1, || true).expect("the check holds");
            (moved, futex_wake(1, 1, ALL))
        });
        let result = futex_wait(0, || true, Some(1), ALL, false);
        let (moved, woken) = mover.join().expect("the mover does not panic");
        assert!(woken <= moved);
        assert_eq!(woken, usize::from(result.is_ok()));
        assert_eq!(
            futex_wake(0, 1, ALL) + futex_wake(1, 1, ALL),
            0,
            "nobody is left"
        );
    });
}

fn take(items: &AtomicU32) -> Option<()> {
    let take = |count: u32| count.checked_sub(1);
    items
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .ok()
        .map(|_| ())
}

#[test]
fn a_wait_queue_misses_no_wake_up() {
    check(4, || {
        let queue = Arc::new(WaitQueue::new());
        let (items, message) = (Arc::new(AtomicU32::new(0)), Watched::new());
        let waker = {
            let (queue, items, message) = (queue.clone(), items.clone(), message.clone());
            thread::spawn(move || {
                message.add();
                items.fetch_add(1, Ordering::Release);
                queue.wake_one();
            })
        };
        let take = || (items.load(Ordering::Acquire) == 1).then_some(());
        queue.wait(None, false, take).expect("there is no deadline");
        assert_eq!(message.get(), 1);
        waker.join().expect("the waker does not panic");
    });
}

#[test]
fn a_wake_up_is_passed_on_by_who_does_not_need_it() {
    // With three threads, two that yield could starve the third.
    fake::PARKS.set(true);
    check(3, || {
        let queue = Arc::new(WaitQueue::new());
        let items = Arc::new(AtomicU32::new(0));
        let patient = {
            let (queue, items) = (queue.clone(), items.clone());
            thread::spawn(move || {
                queue
                    .wait(None, false, || take(&items))
                    .expect("there is no deadline");
            })
        };
        let impatient = {
            let (queue, items) = (queue.clone(), items.clone());
            thread::spawn(move || queue.wait(Some(1), false, || take(&items)).is_ok())
        };
        let give = || {
            items.fetch_add(1, Ordering::Relaxed);
            queue.wake_one();
        };
        // The impatient one may take the first and be picked for the second.
        give();
        give();
        impatient.join().expect("it does not panic");
        patient.join().expect("an item reaches it");
    });
}

/// A CPU with a TLB of one entry.
struct Cpu {
    this: CpuId,
    has_translation: Cell<bool>,
}

// SAFETY: each is used by one loom thread; loom runs one at a time.
unsafe impl Sync for Cpu {}
// SAFETY: as above.
unsafe impl Send for Cpu {}

impl Simulated for Cpu {
    fn this_cpu(&self) -> CpuId {
        self.this
    }

    fn now_ns(&self) -> u64 {
        0
    }

    fn set_timer(&self, _: u64) {}

    // The target polls.
    fn send_ipi(&self, _: CpuId, _: Ipi) {}

    fn flush_tlb(&self, _: usize, _: usize) {
        self.has_translation.set(false);
    }

    fn wake(&self, _: ThreadRef) {}
}

/// A page that CPU 1 reads and CPU 0 unmaps, to reuse its frame.
struct Page {
    shootdowns: Shootdowns,
    lock: RawSpinLock,
    is_mapped: AtomicBool,
    frame: Arc<Watched>,
}

impl Page {
    fn new() -> Arc<Self> {
        let (shootdowns, is_mapped) = (Shootdowns::new(), AtomicBool::new(true));
        Arc::new(Self {
            shootdowns,
            lock: RawSpinLock::new(),
            is_mapped,
            frame: Watched::new(),
        })
    }

    fn become_cpu(this: u32) -> Arc<Cpu> {
        let cpu = Arc::new(Cpu {
            this: CpuId(this),
            has_translation: Cell::new(false),
        });
        machine::simulate(cpu.clone());
        cpu
    }

    /// Reads the page as hardware does: through the TLB, else the page table.
    fn read_on(&self, cpu: &Cpu) {
        if !cpu.has_translation.get() {
            cpu.has_translation
                .set(self.is_mapped.load(Ordering::Relaxed));
        }
        if cpu.has_translation.get() {
            self.frame.get();
        }
    }

    fn unmap_and_reuse(&self) {
        self.lock.acquire(|| ());
        self.is_mapped.store(false, Ordering::Relaxed);
        self.shootdowns
            .shoot(CpuId(0), CpuMask::only(CpuId(1)), 0, 4096, false);
        self.frame.add();
        self.lock.release();
    }
}

#[test]
fn a_frame_is_reused_after_all_cpus_have_flushed() {
    check(4, || {
        read_while_unmapped(|page, cpu| {
            page.read_on(cpu);
            page.shootdowns.service(CpuId(1));
            page.read_on(cpu);
        });
    });
}

#[test]
fn an_idle_cpu_flushes_before_it_reads_again() {
    check(4, || {
        read_while_unmapped(|page, cpu| {
            page.read_on(cpu);
            page.shootdowns.while_lazy(CpuId(1), || ());
            page.read_on(cpu);
        });
    });
}

/// What `acquire_lazily` does; the lock's own stand-in knows no shootdowns.
#[test]
fn a_cpu_that_spins_for_a_lock_flushes_before_it_reads_again() {
    check(4, || {
        read_while_unmapped(|page, cpu| {
            page.read_on(cpu);
            let answer = || page.shootdowns.service(CpuId(1));
            let spin = || page.lock.acquire(answer);
            page.shootdowns.while_lazy(CpuId(1), spin);
            page.read_on(cpu);
            // The lock orders the reuse before this read: loom sees no race.
            let is_mapped = page.is_mapped.load(Ordering::Relaxed);
            assert_eq!(cpu.has_translation.get(), is_mapped);
            page.lock.release();
        });
    });
}

/// CPU 0 unmaps while CPU 1 runs `read`, then answers requests until CPU 0 is done.
fn read_while_unmapped(read: impl FnOnce(&Page, &Cpu) + 'static) {
    let page = Page::new();
    Page::become_cpu(0);
    let is_done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (page, is_done) = (page.clone(), is_done.clone());
        thread::spawn(move || {
            let cpu = Page::become_cpu(1);
            read(&page, &cpu);
            while !is_done.load(Ordering::Relaxed) {
                thread::yield_now();
                page.shootdowns.service(CpuId(1));
            }
        })
    };
    page.unmap_and_reuse();
    is_done.store(true, Ordering::Relaxed);
    reader.join().expect("the reader does not panic");
}

#[test]
fn a_ring_hands_each_place_over_and_back() {
    check(3, || {
        // Two places for three values: the second round begins while the first is read.
        let index = Arc::new(RingIndex::new(2));
        let places = [Watched::new(), Watched::new()];
        let filler = {
            let (index, places) = (index.clone(), places.clone());
            thread::spawn(move || (0..3).filter(|_| index.push(|at| places[at].add())).count())
        };
        let taker = {
            let (index, places) = (index.clone(), places.clone());
            thread::spawn(move || {
                let take = || index.pop(|at| assert!(places[at].get() > 0));
                (0..3).filter(|_| take().is_some()).count()
            })
        };
        let filled = filler.join().expect("it does not panic");
        let mut taken = taker.join().expect("it does not panic");
        while index.pop(|_| ()).is_some() {
            taken += 1;
        }
        assert_eq!(taken, filled);
    });
}
