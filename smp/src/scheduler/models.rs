//! Loom models of the scheduler: CPUs, each played by a loom thread, run its code as it ships.
//!
//! A CPU here is a loop over `pick`, `finish` and the halting protocol, as in `context`; an
//! IPI is a flag that ends a halt. What a simulated thread does is a function.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use super::decide::{Leaving, Next, Scheduler};
use crate::{
    CpuId, Ipi, Thread, ThreadConfig, ThreadRef,
    fake::HostThread,
    machine::{self, Simulated},
    models::{Watched, check},
    prim::{AtomicBool, Ordering},
};

struct World {
    scheduler: Scheduler,
    interrupts: [AtomicBool; 3],
}

/// The machine as one CPU sees it.
struct Cpu {
    world: Arc<World>,
    this: CpuId,
}

impl Simulated for Cpu {
    fn this_cpu(&self) -> CpuId {
        self.this
    }

    fn now_ns(&self) -> u64 {
        1
    }

    fn set_timer(&self, _: u64) {}

    fn send_ipi(&self, target: CpuId, _: Ipi) {
        // Relaxed, so that nothing but the protocol itself orders anything.
        self.world.interrupts[target.index()].store(true, Ordering::Relaxed);
    }

    fn flush_tlb(&self, _: usize, _: usize) {}

    fn wake(&self, thread: ThreadRef) {
        self.world.scheduler.wake(self.this, thread);
    }
}

extern "C" fn never_called(_: usize) -> ! {
    unreachable!("simulated threads have no code")
}

fn thread(tid: u32, is_idle: bool) -> ThreadRef {
    Thread::new(
        ThreadConfig::new("model", never_called, 0, 0),
        tid,
        is_idle,
        HostThread::Simulated,
    )
}

impl World {
    fn new() -> Arc<Self> {
        let interrupts = core::array::from_fn(|_| AtomicBool::new(false));
        let world = Self {
            scheduler: Scheduler::new(),
            interrupts,
        };
        for cpu in 0..3 {
            world.scheduler.set_online(CpuId(cpu));
        }
        Arc::new(world)
    }

    fn play(self: &Arc<Self>, this: CpuId) {
        machine::simulate(Arc::new(Cpu {
            world: self.clone(),
            this,
        }));
    }

    /// Idles on `this` until a thread comes, which is returned with the CPU's reference to it.
    fn idle_until_thread(&self, this: CpuId, idle: &Thread) -> ThreadRef {
        loop {
            self.scheduler.announce_idle(this);
            match self.scheduler.pick(this, idle, Leaving::Preempted) {
                Next::Thread(thread) => return thread,
                Next::Stay => (),
                Next::Idle => unreachable!("an idle thread stays"),
            }
            if self.scheduler.begin_halt(this) {
                // A load: loom keeps only a few stores of each atomic.
                while !self.interrupts[this.index()].load(Ordering::Relaxed) {
                    loom::thread::yield_now();
                }
                self.interrupts[this.index()].store(false, Ordering::Relaxed);
                self.scheduler.after_halt(this);
            }
        }
    }

    /// Parks `thread`, which runs on `this`; returns it again if it has a permit already.
    fn park(&self, this: CpuId, thread: ThreadRef, context: &Watched) -> Option<ThreadRef> {
        match self.scheduler.pick(this, &thread, Leaving::Parking) {
            Next::Stay => return Some(thread),
            Next::Idle => (),
            Next::Thread(_) => unreachable!("there is no other thread"),
        }
        // The switch saves registers to memory that is not atomic.
        context.add();
        self.scheduler.finish(this, thread, Leaving::Parking);
        None
    }
}

/// A thread parks on CPU 0 while CPU 1 wakes it: it runs again, once, and sees what the waker
/// wrote before.
#[test]
fn a_thread_that_parks_while_it_is_woken_runs_again() {
    check(4, || {
        let world = World::new();
        world.play(CpuId(0));
        let message = Watched::new();
        let sleeper = thread(1, false);
        let waker = {
            let (world, message, sleeper) = (world.clone(), message.clone(), sleeper.clone());
            loom::thread::spawn(move || {
                world.play(CpuId(1));
                message.add();
                sleeper.unpark();
            })
        };
        let idle = thread(0, true);
        world.scheduler.wake(CpuId(0), sleeper.clone());
        let running = world.idle_until_thread(CpuId(0), &idle);
        let running = world
            .park(CpuId(0), running, &Watched::new())
            .unwrap_or_else(|| world.idle_until_thread(CpuId(0), &idle));
        assert!(
            running.park.take_permit(),
            "a thread that runs again has been unparked"
        );
        assert_eq!(message.get(), 1);
        waker.join().expect("the waker does not panic");
        drop(running);
        assert_eq!(
            Arc::strong_count(&sleeper),
            1,
            "nothing else holds the thread"
        );
    });
}

/// A thread parks on CPU 0, is woken by CPU 1, and runs on CPU 2: not before its context is saved.
#[test]
fn a_thread_is_resumed_elsewhere_only_after_its_context_is_saved() {
    check(3, || {
        let world = World::new();
        world.play(CpuId(0));
        let context = Watched::new();
        let sleeper = thread(1, false);
        let idle = thread(0, true);
        world.scheduler.wake(CpuId(0), sleeper.clone());
        let running = world.idle_until_thread(CpuId(0), &idle);
        sleeper.affinity.store(0b100, Relaxed);
        let waker = {
            let world = world.clone();
            loom::thread::spawn(move || {
                world.play(CpuId(1));
                sleeper.unpark();
            })
        };
        let resumer = {
            let (world, context) = (world.clone(), context.clone());
            loom::thread::spawn(move || {
                world.play(CpuId(2));
                let running = world.idle_until_thread(CpuId(2), &thread(0, true));
                assert_eq!(context.get(), 1);
                drop(running);
            })
        };
        if let Some(running) = world.park(CpuId(0), running, &context) {
            // It need not sleep, but must leave this CPU.
            let next = world.scheduler.pick(CpuId(0), &running, Leaving::Preempted);
            assert!(matches!(next, Next::Idle));
            context.add();
            world
                .scheduler
                .finish(CpuId(0), running, Leaving::Preempted);
        }
        waker.join().expect("the waker does not panic");
        resumer.join().expect("CPU 2 runs the thread");
    });
}

/// CPU 1 goes idle and halts while CPU 0 wakes a thread for it: it does not halt for ever.
#[test]
fn a_cpu_that_halts_while_it_is_given_a_thread_runs_it() {
    check(4, || {
        let world = World::new();
        world.play(CpuId(0));
        let idler = {
            let world = world.clone();
            loom::thread::spawn(move || {
                world.play(CpuId(1));
                let idle = thread(0, true);
                drop(world.idle_until_thread(CpuId(1), &idle));
            })
        };
        let given = thread(1, false);
        given.affinity.store(0b10, Relaxed);
        world.scheduler.wake(CpuId(0), given);
        idler.join().expect("CPU 1 runs the thread");
    });
}

/// CPU 1 goes idle while CPU 0, which is busy, wakes a thread onto its own queue: CPU 1 comes
/// and steals it.
#[test]
fn a_cpu_that_halts_while_another_queues_a_thread_steals_it() {
    check(4, || {
        let world = World::new();
        world.play(CpuId(0));
        // CPU 0 is busy with this one.
        let idle = thread(0, true);
        world.scheduler.wake(CpuId(0), thread(1, false));
        let busy = world.idle_until_thread(CpuId(0), &idle);
        let idler = {
            let world = world.clone();
            loom::thread::spawn(move || {
                world.play(CpuId(1));
                let idle = thread(0, true);
                assert_eq!(world.idle_until_thread(CpuId(1), &idle).tid(), 2);
            })
        };
        world.scheduler.wake(CpuId(0), thread(2, false));
        idler.join().expect("CPU 1 runs the thread");
        drop(busy);
    });
}
