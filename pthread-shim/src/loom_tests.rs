//! Every interleaving of small uses of each primitive, up to a bound on preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p pthread-shim --release`. A lost wake-up
//! shows as loom's report of a deadlock, memory touched by two threads at once as a
//! violation of its cells.

use core::sync::atomic::AtomicU32 as PlainU32;

use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};

use crate::{
    barrier::{Barrier, Passed},
    condvar::{Condvar, Waiter},
    error::Error,
    futex::{self, Scope},
    lifecycle::{self, Heir, Lifecycle},
    lock,
    mutex::{HeldRobust, Kind, Me, Mutex},
    once::Once,
    prim::{AtomicU32, Ordering},
    rwlock::RwLock,
    semaphore::Semaphore,
    time::{Clock, Deadline, Timespec},
};

/// Tries all executions with at most so many preemptions, and prints how many there were.
fn model_within(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    let executions = std::sync::Arc::new(PlainU32::new(0));
    let count = std::sync::Arc::clone(&executions);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        test();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    model_within(3, test);
}

const SOON: Deadline = Deadline {
    clock: Clock::Monotonic,
    at: Timespec {
        seconds: 1,
        nanoseconds: 0,
    },
};

/// Data that a lock guards: loom reports an access that overlaps a write.
struct Guarded(UnsafeCell<u32>);

// SAFETY: the tests touch it under the lock they try; loom reports if that fails.
unsafe impl Sync for Guarded {}
// SAFETY: a number belongs to no thread.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn add_one(&self) {
        // SAFETY: see `Guarded`.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    fn read(&self) -> u32 {
        // SAFETY: see `Guarded`.
        self.0.with(|value| unsafe { *value })
    }
}

#[test]
fn a_lock_excludes_and_loses_no_wake_up() {
    model(|| {
        let shared = Arc::new((AtomicU32::new(lock::FREE), Guarded::new()));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    lock::lock_internal(&shared.0);
                    shared.1.add_one();
                    lock::unlock(&shared.0, Scope::Private);
                })
            })
            .collect();
        lock::lock_internal(&shared.0);
        shared.1.add_one();
        lock::unlock(&shared.0, Scope::Private);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.1.read(), 3);
    });
}

#[test]
fn a_waiter_that_times_out_takes_no_wake_up_along() {
    model(|| {
        let shared = Arc::new(AtomicU32::new(lock::FREE));
        lock::lock_internal(&shared);
        let impatient = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if lock::lock(&shared, Some(&SOON), Scope::Private).is_ok() {
                    lock::unlock(&shared, Scope::Private);
                }
            })
        };
        let patient = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                lock::lock_internal(&shared);
                lock::unlock(&shared, Scope::Private);
            })
        };
        // Of its own thread: the wake-up may come before the deadline, and has to be passed on.
        let expirer = thread::spawn(futex::expire);
        lock::unlock(&shared, Scope::Private);
        impatient.join().unwrap();
        patient.join().unwrap();
        expirer.join().unwrap();
    });
}

fn owned_mutex_excludes(kind: Kind) {
    model_within(2, move || {
        let shared = Arc::new((Mutex::new(kind), Guarded::new()));
        let work = |tid: u32, shared: &(Mutex, Guarded)| {
            let robust = HeldRobust::new();
            let me = Me {
                tid,
                robust: &robust,
            };
            shared.0.lock(me, None).unwrap();
            shared.1.add_one();
            shared.0.unlock(me).unwrap();
        };
        let threads: Vec<_> = [1, 2]
            .map(|tid| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(tid, &shared))
            })
            .into_iter()
            .collect();
        work(3, &shared);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.1.read(), 3);
    });
}

#[test]
fn a_recursive_mutex_excludes_and_loses_no_wake_up() {
    owned_mutex_excludes(Kind::default().with_type(1).unwrap());
}

#[test]
fn a_robust_mutex_outlives_its_owner() {
    model(|| {
        let shared = Arc::new(Mutex::new(Kind::default().with_robust(true)));
        let dying = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let robust = HeldRobust::new();
                let result = shared.lock(
                    Me {
                        tid: 1,
                        robust: &robust,
                    },
                    None,
                );
                robust.abandon_all();
                result
            })
        };
        let robust = HeldRobust::new();
        let me = Me {
            tid: 2,
            robust: &robust,
        };
        let here = shared.lock(me, None);
        if here.is_err() {
            shared.make_consistent(me).unwrap();
        }
        shared.unlock(me).unwrap();
        let there = dying.join().unwrap();
        assert_eq!(there, Ok(()));
        // Whether the owner had died by then is a matter of who was first.
        assert!(matches!(here, Ok(()) | Err(Error::OwnerDied)));
    });
}

struct Mailbox {
    mutex: AtomicU32,
    condvar: Condvar,
    letters: Guarded,
}

impl Mailbox {
    fn new() -> Self {
        Self {
            mutex: AtomicU32::new(lock::FREE),
            condvar: Condvar::new(Clock::Monotonic),
            letters: Guarded::new(),
        }
    }

    /// Waits for a letter as a C program does; returns whether one was there, or false if it gave up:
    /// then what was signalled since was for somebody else.
    fn receive(&self, deadline: Option<&Deadline>) -> bool {
        lock::lock_internal(&self.mutex);
        let mut signalled = true;
        while signalled && self.letters.read() == 0 {
            let waiter = Box::new(Waiter::new());
            // SAFETY: the box stays until the wait has ended.
            unsafe { self.condvar.enter(&waiter) };
            lock::unlock(&self.mutex, Scope::Private);
            let slept = waiter.sleep(deadline);
            signalled = slept.is_ok() || self.condvar.leave(&waiter);
            lock::lock_internal(&self.mutex);
        }
        let found = signalled && self.letters.read() > 0;
        lock::unlock(&self.mutex, Scope::Private);
        found
    }

    fn send(&self, readers: u32) {
        lock::lock_internal(&self.mutex);
        self.letters.add_one();
        lock::unlock(&self.mutex, Scope::Private);
        self.condvar.signal(readers);
    }
}

#[test]
fn a_signal_reaches_a_waiter() {
    model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let reader = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || assert!(mailbox.receive(None)))
        };
        mailbox.send(1);
        reader.join().unwrap();
    });
}

#[test]
fn a_broadcast_reaches_all_and_the_condition_may_go() {
    model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || assert!(mailbox.receive(None)))
            })
            .collect();
        mailbox.send(u32::MAX);
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(mailbox.condvar.destroy(), Ok(()));
    });
}

#[test]
fn a_waiter_that_gives_up_swallows_no_signal() {
    model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let impatient = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                // What it found it passes on, as it only looked.
                if mailbox.receive(Some(&SOON)) {
                    mailbox.condvar.signal(1);
                }
            })
        };
        let patient = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || assert!(mailbox.receive(None)))
        };
        futex::expire();
        mailbox.send(1);
        impatient.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
fn destroying_a_condition_waits_for_those_that_give_up() {
    model(|| {
        let shared = Arc::new((Condvar::new(Clock::Monotonic), Waiter::new()));
        // SAFETY: the thread drops the waiter after the wait has ended.
        unsafe { shared.0.enter(&shared.1) };
        let impatient = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (condvar, waiter) = &*shared;
                if waiter.sleep(Some(&SOON)).is_err() {
                    condvar.leave(waiter);
                }
            })
        };
        futex::expire();
        shared.0.signal(u32::MAX);
        // Signalled or leaving, it does not wait any more.
        assert_eq!(shared.0.destroy(), Ok(()));
        assert!(shared.0.is_left());
        impatient.join().unwrap();
    });
}

#[test]
fn every_post_frees_one_waiter() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = Arc::clone(&semaphore);
                thread::spawn(move || semaphore.wait(None, Scope::Private).unwrap())
            })
            .collect();
        semaphore.post(Scope::Private).unwrap();
        semaphore.post(Scope::Private).unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(semaphore.value(), 0);
    });
}

#[test]
fn a_semaphore_hands_over_what_came_before_the_post() {
    model(|| {
        let shared = Arc::new((Semaphore::new(0), Guarded::new()));
        let waiter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || match shared.0.wait(Some(&SOON), Scope::Private) {
                Ok(()) => assert_eq!(shared.1.read(), 1),
                Err(error) => assert_eq!(error, Error::TimedOut),
            })
        };
        let expirer = thread::spawn(futex::expire);
        shared.1.add_one();
        shared.0.post(Scope::Private).unwrap();
        waiter.join().unwrap();
        expirer.join().unwrap();
    });
}

#[test]
fn a_writer_excludes_a_reader_and_wakes_it() {
    model_within(2, || {
        let shared = Arc::new((RwLock::new(Scope::Private), Guarded::new()));
        let reader = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.read(2, None).unwrap();
                let value = shared.1.read();
                shared.0.unlock(2).unwrap();
                value
            })
        };
        let writer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.write(3, None).unwrap();
                shared.1.add_one();
                shared.0.unlock(3).unwrap();
            })
        };
        shared.0.write(1, None).unwrap();
        shared.1.add_one();
        shared.0.unlock(1).unwrap();
        assert!(reader.join().unwrap() <= 2);
        writer.join().unwrap();
        assert_eq!(shared.1.read(), 2);
    });
}

#[test]
fn a_reader_that_times_out_leaves_no_writer_asleep() {
    model_within(2, || {
        let lock = Arc::new(RwLock::new(Scope::Private));
        lock.write(1, None).unwrap();
        let reader = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                if lock.read(2, Some(&SOON)).is_ok() {
                    lock.unlock(2).unwrap();
                }
            })
        };
        let writer = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                lock.write(3, None).unwrap();
                lock.unlock(3).unwrap();
            })
        };
        futex::expire();
        lock.unlock(1).unwrap();
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn a_barrier_lets_all_go_and_may_be_destroyed_by_the_first_out() {
    model(|| {
        let shared = Arc::new((Barrier::new(2, Scope::Private).unwrap(), Guarded::new()));
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.1.add_one();
                shared.0.wait()
            })
        };
        let here = shared.0.wait();
        assert_eq!(shared.1.read(), 1);
        shared.0.destroy().unwrap();
        assert!(shared.0.is_left());
        let there = other.join().unwrap();
        assert_eq!(
            [here, there]
                .iter()
                .filter(|&&passed| passed == Passed::Last)
                .count(),
            1
        );
    });
}

#[test]
fn once_runs_once_and_all_wait_for_it() {
    model(|| {
        let shared = Arc::new((Once::new(), Guarded::new()));
        let work = |shared: &(Once, Guarded)| {
            if shared.0.begin() {
                shared.1.add_one();
                shared.0.finish();
            }
            assert_eq!(shared.1.read(), 1);
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(&shared))
            })
            .collect();
        work(&shared);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn an_abandoned_once_is_run_by_another() {
    model(|| {
        let shared = Arc::new((Once::new(), Guarded::new()));
        let giving_up = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if shared.0.begin() {
                    shared.0.abandon();
                }
            })
        };
        if shared.0.begin() {
            shared.1.add_one();
            shared.0.finish();
        }
        giving_up.join().unwrap();
    });
}

#[test]
fn one_side_frees_a_thread_and_only_after_its_end() {
    model(|| {
        struct Thread {
            lifecycle: Lifecycle,
            tid: AtomicU32,
            stack: Guarded,
        }
        let ending = Arc::new(Thread {
            lifecycle: Lifecycle::new(false),
            tid: AtomicU32::new(7),
            stack: Guarded::new(),
        });
        let thread = {
            let ending = Arc::clone(&ending);
            thread::spawn(move || {
                let heir = ending.lifecycle.exit();
                // It runs on its stack to the last.
                ending.stack.add_one();
                // What the kernel does at the very end.
                let tid = core::ptr::from_ref(&ending.tid);
                ending.tid.store(0, Ordering::Release);
                futex::wake(tid, 1, Scope::Shared);
                heir
            })
        };
        let frees = if ending.lifecycle.detach() == Ok(true) {
            false
        } else {
            lifecycle::wait_for_end(&ending.tid, None).unwrap();
            ending.stack.add_one();
            true
        };
        assert_eq!(thread.join().unwrap() == Heir::Nobody, !frees);
    });
}

#[test]
fn a_joiner_sees_what_the_thread_did() {
    model(|| {
        let shared = Arc::new((AtomicU32::new(7), Guarded::new()));
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.1.add_one();
                let tid = core::ptr::from_ref(&shared.0);
                shared.0.store(0, Ordering::Release);
                futex::wake(tid, 1, Scope::Shared);
            })
        };
        lifecycle::wait_for_end(&shared.0, None).unwrap();
        assert_eq!(shared.1.read(), 1);
        thread.join().unwrap();
    });
}
