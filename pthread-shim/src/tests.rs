//! The primitives with the host's threads and Linux's futex, and against naive models.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32 as StdAtomicU32, Ordering as StdOrdering},
    },
    thread,
    time::{Duration, Instant},
};

use linux_raw_sys::general::{__NR_clock_gettime, CLOCK_MONOTONIC, CLOCK_REALTIME};
use proptest::prelude::*;

use crate::{
    barrier::{Barrier, Passed},
    condvar::{Condvar, Waiter},
    error::Error,
    futex::Scope,
    lock,
    mutex::{HeldRobust, Kind, Me, Mutex, Relock},
    once::Once,
    prim::AtomicU32,
    rwlock::RwLock,
    semaphore::{self, Semaphore},
    sys,
    time::{Clock, Deadline, Timespec},
};

fn after(clock: Clock, wait: Duration) -> Deadline {
    let id = if clock == Clock::Realtime {
        CLOCK_REALTIME
    } else {
        CLOCK_MONOTONIC
    };
    let mut now = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: the call writes to the live `now`.
    unsafe {
        sys::call(
            __NR_clock_gettime,
            [id as usize, (&raw mut now).expose_provenance(), 0, 0, 0, 0],
        )
    }
    .expect("both clocks exist");
    let nanoseconds = now.nanoseconds + i64::from(wait.subsec_nanos());
    let at = Timespec {
        seconds: now.seconds
            + i64::try_from(wait.as_secs()).expect("a short wait")
            + nanoseconds / 1_000_000_000,
        nanoseconds: nanoseconds % 1_000_000_000,
    };
    Deadline { clock, at }
}

const LONG_AGO: Deadline = Deadline {
    clock: Clock::Realtime,
    at: Timespec {
        seconds: -5,
        nanoseconds: 0,
    },
};
const NO_TIME: Deadline = Deadline {
    clock: Clock::Monotonic,
    at: Timespec {
        seconds: 5,
        nanoseconds: 1_000_000_000,
    },
};

fn kind(type_number: u32) -> Kind {
    Kind::default()
        .with_type(type_number)
        .expect("a type of POSIX")
}

/// Runs `test` as two threads of mutexes.
fn as_two(test: impl FnOnce(Me<'_>, Me<'_>)) {
    let (one, two) = (HeldRobust::new(), HeldRobust::new());
    test(
        Me {
            tid: 10,
            robust: &one,
        },
        Me {
            tid: 20,
            robust: &two,
        },
    );
}

#[test]
fn deadlines_end_waits_on_either_clock() {
    for clock in [Clock::Realtime, Clock::Monotonic] {
        let held = AtomicU32::new(lock::FREE);
        lock::lock_internal(&held);
        let start = Instant::now();
        let deadline = after(clock, Duration::from_millis(30));
        assert_eq!(
            lock::lock(&held, Some(&deadline), Scope::Private),
            Err(Error::TimedOut)
        );
        assert!(start.elapsed() >= Duration::from_millis(30));
    }
}

#[test]
fn a_deadline_matters_only_to_who_must_wait() {
    let word = AtomicU32::new(lock::FREE);
    assert_eq!(lock::lock(&word, Some(&NO_TIME), Scope::Private), Ok(()));
    assert_eq!(
        lock::lock(&word, Some(&NO_TIME), Scope::Private),
        Err(Error::Invalid)
    );
    assert_eq!(
        lock::lock(&word, Some(&LONG_AGO), Scope::Private),
        Err(Error::TimedOut)
    );
}

#[test]
fn relocks_do_what_the_type_says() {
    as_two(|me, other| {
        let recursive = Mutex::new(kind(1));
        assert_eq!(
            (
                recursive.lock(me, None),
                recursive.try_lock(me),
                recursive.lock(me, None)
            ),
            (Ok(()), Ok(()), Ok(()))
        );
        assert_eq!(recursive.try_lock(other), Err(Error::Busy));
        assert_eq!(recursive.unlock(other), Err(Error::NotOwner));
        for _ in 0..3 {
            assert!(recursive.is_held());
            assert_eq!(recursive.unlock(me), Ok(()));
        }
        assert_eq!(recursive.unlock(me), Err(Error::NotOwner));

        let checked = Mutex::new(kind(2));
        assert_eq!(checked.lock(me, None), Ok(()));
        assert_eq!(
            (checked.lock(me, None), checked.try_lock(me)),
            (Err(Error::Deadlock), Err(Error::Busy))
        );
        assert_eq!(checked.lock(other, Some(&LONG_AGO)), Err(Error::TimedOut));
        assert_eq!(
            (checked.unlock(other), checked.unlock(me)),
            (Err(Error::NotOwner), Ok(()))
        );

        let normal = Mutex::new(kind(0));
        assert_eq!(normal.lock(me, None), Ok(()));
        assert_eq!(
            (normal.try_lock(me), normal.lock(me, Some(&LONG_AGO))),
            (Err(Error::Busy), Err(Error::TimedOut))
        );
        assert_eq!(normal.unlock(me), Ok(()));
    });
}

#[test]
fn a_dead_owner_is_reported_until_the_mutex_is_consistent() {
    as_two(|me, other| {
        let (one, two) = (
            Mutex::new(kind(0).with_robust(true)),
            Mutex::new(kind(1).with_robust(true)),
        );
        one.lock(other, None).unwrap();
        two.lock(other, None).unwrap();
        two.lock(other, None).unwrap();
        other.robust.abandon_all();

        assert_eq!(one.lock(me, None), Err(Error::OwnerDied));
        assert_eq!(one.make_consistent(other), Err(Error::NotOwner));
        assert_eq!(
            (one.make_consistent(me), one.make_consistent(me)),
            (Ok(()), Err(Error::Invalid))
        );
        assert_eq!(
            (one.unlock(me), one.lock(me, None), one.unlock(me)),
            (Ok(()), Ok(()), Ok(()))
        );

        assert_eq!(two.try_lock(me), Err(Error::OwnerDied));
        assert_eq!(two.unlock(me), Ok(()));
        assert_eq!(two.lock(me, None), Err(Error::NotRecoverable));
        assert_eq!(two.try_lock(other), Err(Error::NotRecoverable));
        assert!(!two.is_held());
    });
}

#[test]
fn robust_mutexes_are_given_back_in_any_order() {
    as_two(|me, _| {
        let mutexes: Vec<_> = (0..4)
            .map(|_| Mutex::new(kind(0).with_robust(true)))
            .collect();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            mutexes
                .iter()
                .for_each(|mutex| mutex.lock(me, None).unwrap());
            order
                .iter()
                .for_each(|&index| mutexes[index].unlock(me).unwrap());
            me.robust.abandon_all();
            assert!(mutexes.iter().all(|mutex| !mutex.is_held()));
        }
    });
}

#[test]
fn kinds_keep_their_attributes_apart() {
    let all = kind(2).with_robust(true).with_shared(true);
    assert_eq!(
        (all.relock(), all.is_robust(), all.scope()),
        (Relock::Fails, true, Scope::Shared)
    );
    let less = all.with_type(1).unwrap().with_robust(false);
    assert_eq!(
        (less.relock(), less.is_robust(), less.scope()),
        (Relock::Counts, false, Scope::Shared)
    );
    assert_eq!(all.with_type(3), Err(Error::Invalid));
}

#[test]
fn contended_mutexes_count_right() {
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 5_000 };
    for number in [0, 1, 2] {
        let shared = Arc::new((Mutex::new(kind(number)), StdAtomicU32::new(0)));
        let threads: Vec<_> = (1..=4)
            .map(|tid| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let robust = HeldRobust::new();
                    let me = Me {
                        tid,
                        robust: &robust,
                    };
                    for _ in 0..ROUNDS {
                        shared.0.lock(me, None).unwrap();
                        let value = shared.1.load(StdOrdering::Relaxed);
                        shared.1.store(value + 1, StdOrdering::Relaxed);
                        shared.0.unlock(me).unwrap();
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.1.load(StdOrdering::Relaxed), 4 * ROUNDS);
    }
}

#[test]
fn signals_reach_the_longest_waiting_first() {
    let condvar = Condvar::new(Clock::Monotonic);
    let waiters: Vec<_> = (0..3).map(|_| Waiter::new()).collect();
    // SAFETY: the waiters outlive the waits, which all end below.
    waiters
        .iter()
        .for_each(|waiter| unsafe { condvar.enter(waiter) });
    assert_eq!(condvar.destroy(), Err(Error::Busy));
    condvar.signal(1);
    assert_eq!(waiters[0].sleep(None), Ok(()));
    let soon = after(Clock::Monotonic, Duration::from_millis(20));
    assert_eq!(waiters[1].sleep(Some(&soon)), Err(Error::TimedOut));
    assert!(!condvar.leave(&waiters[1]), "no signal was for it");
    condvar.signal(u32::MAX);
    assert_eq!(waiters[2].sleep(None), Ok(()));
    assert_eq!(condvar.destroy(), Ok(()));
}

#[test]
fn a_signal_before_leaving_counts() {
    let condvar = Condvar::new(Clock::Realtime);
    let waiter = Waiter::new();
    // SAFETY: the waiter outlives the wait, which ends below.
    unsafe { condvar.enter(&waiter) };
    assert_eq!(waiter.sleep(Some(&LONG_AGO)), Err(Error::TimedOut));
    condvar.signal(1);
    assert!(condvar.leave(&waiter));
}

#[test]
fn a_semaphore_counts_to_its_limit() {
    let semaphore = Semaphore::new(semaphore::MAX - 1);
    assert_eq!(semaphore.post(Scope::Private), Ok(()));
    assert_eq!(semaphore.post(Scope::Private), Err(Error::Overflow));
    assert_eq!(semaphore.value(), semaphore::MAX);
    let empty = Semaphore::new(0);
    assert_eq!(empty.try_wait(), Err(Error::Busy));
    let soon = after(Clock::Realtime, Duration::from_millis(10));
    assert_eq!(
        empty.wait(Some(&soon), Scope::Private),
        Err(Error::TimedOut)
    );
    assert_eq!(
        empty.wait(Some(&NO_TIME), Scope::Private),
        Err(Error::Invalid)
    );
    assert_eq!(
        (empty.post(Scope::Private), empty.wait(None, Scope::Private)),
        (Ok(()), Ok(()))
    );
}

#[test]
fn a_read_write_lock_knows_its_holders() {
    let lock = RwLock::new(Scope::Private);
    assert_eq!(
        (lock.read(1, None), lock.read(1, None), lock.try_read()),
        (Ok(()), Ok(()), Ok(()))
    );
    assert_eq!(
        (lock.try_write(2), lock.write(2, Some(&LONG_AGO))),
        (Err(Error::Busy), Err(Error::TimedOut))
    );
    for _ in 0..3 {
        assert_eq!(lock.unlock(1), Ok(()));
    }
    assert_eq!(lock.unlock(1), Err(Error::NotOwner));
    assert_eq!(lock.write(2, None), Ok(()));
    assert_eq!(
        (lock.read(2, None), lock.write(2, None)),
        (Err(Error::Deadlock), Err(Error::Deadlock))
    );
    assert_eq!(
        (lock.try_read(), lock.read(1, Some(&LONG_AGO))),
        (Err(Error::Busy), Err(Error::TimedOut))
    );
    assert_eq!(
        (lock.unlock(1), lock.unlock(2)),
        (Err(Error::NotOwner), Ok(()))
    );
    assert!(!lock.is_held());
}

#[test]
fn barriers_work_round_after_round() {
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 500 };
    assert!(Barrier::new(0, Scope::Private).is_err());
    let barrier = Arc::new(Barrier::new(3, Scope::Private).unwrap());
    let last = Arc::new(StdAtomicU32::new(0));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (barrier, last) = (Arc::clone(&barrier), Arc::clone(&last));
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    if barrier.wait() == Passed::Last {
                        last.fetch_add(1, StdOrdering::Relaxed);
                    }
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(last.load(StdOrdering::Relaxed), ROUNDS);
    barrier.destroy().unwrap();
}

#[test]
fn once_is_done_for_good() {
    let once = Once::new();
    assert!(once.begin());
    once.abandon();
    assert!(once.begin());
    once.finish();
    assert!(!once.begin());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read,
    Write,
    Unlock,
}

proptest! {
    #[test]
    fn a_read_write_lock_agrees_with_a_counter(
        steps in prop::collection::vec(prop_oneof![Just(Step::Read), Just(Step::Write), Just(Step::Unlock)], 0..200)
    ) {
        let lock = RwLock::new(Scope::Private);
        let (mut readers, mut writes) = (0, false);
        for step in steps {
            match step {
                Step::Read => {
                    prop_assert_eq!(lock.try_read().is_ok(), !writes);
                    readers += u32::from(!writes);
                }
                Step::Write => {
                    let free = !writes && readers == 0;
                    prop_assert_eq!(lock.try_write(1).is_ok(), free);
                    writes |= free;
                }
                Step::Unlock => {
                    prop_assert_eq!(lock.unlock(1).is_ok(), writes || readers > 0);
                    readers = readers.saturating_sub(u32::from(!writes));
                    writes = false;
                }
            }
            prop_assert_eq!(lock.is_held(), writes || readers > 0);
        }
    }

    #[test]
    fn a_recursive_mutex_agrees_with_a_counter(steps in prop::collection::vec((any::<bool>(), any::<bool>()), 0..200)) {
        as_two_checked(&steps)?;
    }
}

fn as_two_checked(steps: &[(bool, bool)]) -> Result<(), TestCaseError> {
    let (one, two) = (HeldRobust::new(), HeldRobust::new());
    let threads = [
        Me {
            tid: 10,
            robust: &one,
        },
        Me {
            tid: 20,
            robust: &two,
        },
    ];
    let mutex = Mutex::new(kind(1));
    let (mut owner, mut depth) = (None, 0);
    for &(second, locks) in steps {
        let me = threads[usize::from(second)];
        let mine = owner == Some(me.tid);
        if locks {
            prop_assert_eq!(mutex.try_lock(me).is_ok(), mine || owner.is_none());
            if mine || owner.is_none() {
                owner = Some(me.tid);
                depth += 1;
            }
        } else {
            prop_assert_eq!(
                mutex.unlock(me),
                if mine { Ok(()) } else { Err(Error::NotOwner) }
            );
            if mine {
                depth -= 1;
                owner = owner.filter(|_| depth > 0);
            }
        }
        prop_assert_eq!(mutex.is_held(), owner.is_some());
    }
    Ok(())
}
