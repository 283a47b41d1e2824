//! Stress with real threads: parking, futexes, mutexes and wait queues as the rest of the
//! system uses them, between as many host threads as it takes to make them collide.

#![cfg(not(loom))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use smp::{
    FutexError, Mutex, NOTIFY_SIGNAL, PollingLock, SpinLock, ThreadConfig, ThreadState, WaitError,
    WaitQueue, Waiter, Wake, current, current_ref, exit_current, futex_requeue, futex_wait,
    futex_wake, now_ns, park, sleep_until, spawn,
};

const ALL: u32 = u32::MAX;
const MS: u64 = 1_000_000;

/// A deadline for what must not take long: a test fails rather than hangs.
fn soon() -> Option<u64> {
    Some(now_ns() + 20_000 * MS)
}

#[test]
fn parking_loses_no_unpark() {
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 5_000 };
    let turn = Arc::new(AtomicUsize::new(0));
    let wait_for = |turn: &AtomicUsize, expected: usize| {
        while turn.load(Ordering::Acquire) != expected {
            assert_eq!(park(soon(), false), Wake::Unparked);
        }
    };
    let (send, receive) = mpsc::channel();
    let first = current_ref();
    let second = {
        let turn = turn.clone();
        thread::spawn(move || {
            send.send(current_ref()).expect("the first thread receives");
            for round in 0..ROUNDS {
                wait_for(&turn, 2 * round + 1);
                turn.store(2 * round + 2, Ordering::Release);
                first.unpark();
            }
        })
    };
    let peer = receive.recv().expect("the second thread sends");
    for round in 0..ROUNDS {
        turn.store(2 * round + 1, Ordering::Release);
        peer.unpark();
        wait_for(&turn, 2 * round + 2);
    }
    second.join().expect("the second thread does not panic");
}

#[test]
fn a_futex_mutex_excludes() {
    const THREADS: usize = 4;
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 5_000 };
    let mutex = Arc::new(Mutex::new(0u32));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let mutex = mutex.clone();
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    let mut value = mutex.lock();
                    let seen = *value;
                    if seen.is_multiple_of(64) {
                        thread::yield_now();
                    }
                    *value = seen + 1;
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no thread panics"));
    assert_eq!(*mutex.lock(), THREADS as u32 * ROUNDS);
}

#[test]
fn spinning_locks_exclude() {
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 2_000 };
    let (spin, polling) = (Arc::new(SpinLock::new(0)), Arc::new(PollingLock::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (spin, polling) = (spin.clone(), polling.clone());
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    *spin.lock() += 1;
                    *polling.lock() += 1;
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no thread panics"));
    assert_eq!((*spin.lock(), *polling.lock()), (4 * ROUNDS, 4 * ROUNDS));
}

#[test]
fn a_futex_wakes_by_count_and_bitset() {
    let key = 0x1000;
    let woken = Arc::new(AtomicU32::new(0));
    let waiters: Vec<_> = [1u32, 1, 2, 2]
        .into_iter()
        .map(|bits| {
            let woken = woken.clone();
            thread::spawn(move || {
                futex_wait(key, || true, soon(), bits, false).expect("it is woken");
                woken.fetch_or(1 << bits, Ordering::SeqCst);
            })
        })
        .collect();
    // None of bit 4; then the two of bit 2, however late they come; then the others.
    let mut seconds = 0;
    while seconds < 2 {
        assert_eq!(futex_wake(key, 10, 4), 0);
        seconds += futex_wake(key, 10, 2);
        thread::yield_now();
    }
    assert_eq!(
        woken.load(Ordering::SeqCst) & 0b10,
        0,
        "bit 1 was not woken"
    );
    let mut firsts = 0;
    while firsts < 2 {
        firsts += futex_wake(key, 1, ALL);
        thread::yield_now();
    }
    waiters
        .into_iter()
        .for_each(|waiter| waiter.join().expect("no waiter panics"));
}

#[test]
fn a_futex_moves_waiters() {
    let (from, to) = (0x2000, 0x2004);
    let waiters: Vec<_> = (0..3)
        .map(|_| thread::spawn(move || futex_wait(from, || true, soon(), ALL, false)))
        .collect();
    assert_eq!(
        futex_requeue(from, to, 1, 9, || false),
        Err(FutexError::Again)
    );
    let mut moved = 0;
    while moved < 3 {
        moved += futex_requeue(from, to, 0, 9, || true).expect("the check holds");
        thread::yield_now();
    }
    assert_eq!(futex_wake(from, 9, ALL), 0);
    assert_eq!(futex_wake(to, 9, ALL), 3);
    for waiter in waiters {
        assert_eq!(waiter.join().expect("no waiter panics"), Ok(()));
    }
}

#[test]
fn a_futex_wait_ends_without_a_wake_up() {
    let key = 0x3000;
    assert_eq!(
        futex_wait(key, || false, None, ALL, false),
        Err(FutexError::Again)
    );
    let deadline_ns = now_ns() + 5 * MS;
    assert_eq!(
        futex_wait(key, || true, Some(deadline_ns), ALL, false),
        Err(FutexError::TimedOut)
    );
    assert!(now_ns() >= deadline_ns);
    assert_eq!(futex_wake(key, 1, ALL), 0, "who timed out does not count");
}

#[test]
fn a_signal_ends_interruptible_sleeps_only() {
    let sleeper = current_ref();
    let sender = thread::spawn(move || {
        while sleeper.state() != ThreadState::Sleeping {
            thread::yield_now();
        }
        sleeper.interrupt();
    });
    assert_eq!(
        futex_wait(0x4000, || true, soon(), ALL, true),
        Err(FutexError::Interrupted)
    );
    sender.join().expect("the sender does not panic");
    // The signal is still there.
    assert_eq!(
        WaitQueue::new().wait(soon(), true, || None::<()>),
        Err(WaitError::Interrupted)
    );
    assert_eq!(sleep_until(now_ns() + MS, false), Wake::TimedOut);
    assert_eq!(current().clear_notify(NOTIFY_SIGNAL), NOTIFY_SIGNAL);
    assert_eq!(sleep_until(now_ns() + MS, true), Wake::TimedOut);
}

#[test]
fn one_waiter_watches_many_queues() {
    let queues = Arc::new([WaitQueue::new(), WaitQueue::new(), WaitQueue::new()]);
    let calls = Arc::new(AtomicU32::new(0));
    let watcher = {
        let calls = calls.clone();
        Waiter::with_callback(move || {
            calls.fetch_add(1, Ordering::SeqCst);
        })
    };
    let waiter = Waiter::for_current();
    for queue in queues.iter() {
        queue.register(&waiter);
        queue.register(&watcher);
    }
    let waker = {
        let queues = queues.clone();
        thread::spawn(move || assert!(!queues[1].wake_one(), "pollers do not use a wake-up up"))
    };
    assert_eq!(waiter.wait(soon(), false), Wake::Unparked);
    waker.join().expect("the waker does not panic");
    assert!(waiter.take_notified());
    assert!(!waiter.take_notified());
    assert_eq!(queues[2].wake_all(), 2);
    assert!(waiter.take_notified());
    for queue in queues.iter() {
        queue.unregister(&waiter);
        queue.unregister(&watcher);
        assert!(!queue.has_waiters());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    queues[0].wake_all();
    assert!(!waiter.take_notified());
}

#[test]
fn wait_queues_hand_over_every_item() {
    const ITEMS: u32 = if cfg!(miri) { 20 } else { 4_000 };
    let queue = Arc::new((WaitQueue::new(), AtomicU32::new(0), AtomicBool::new(false)));
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut taken = 0;
                loop {
                    let take = || {
                        let take = |items: u32| items.checked_sub(1);
                        let taken = queue
                            .1
                            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
                        // Short deadlines make wake-ups and expiries collide.
                        taken
                            .is_ok()
                            .then_some(true)
                            .or(queue.2.load(Ordering::SeqCst).then_some(false))
                    };
                    match queue.0.wait(Some(now_ns() + MS / 10), false, take) {
                        Ok(true) => taken += 1,
                        Ok(false) => return taken,
                        Err(error) => assert_eq!(error, WaitError::TimedOut),
                    }
                }
            })
        })
        .collect();
    for _ in 0..ITEMS {
        queue.1.fetch_add(1, Ordering::SeqCst);
        queue.0.wake_one();
    }
    while queue.1.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
    }
    queue.2.store(true, Ordering::SeqCst);
    queue.0.wake_all();
    let taken: u32 = consumers
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .sum();
    assert_eq!(taken, ITEMS);
}

#[test]
fn spawned_threads_are_listed_until_they_exit() {
    static IS_REAPED: AtomicBool = AtomicBool::new(false);

    extern "C" fn entry(key: usize) -> ! {
        assert_eq!(current().name().as_bytes(), b"a name of more ");
        assert_eq!(current().extension().downcast_ref(), Some(&7u8));
        futex_wait(key, || true, soon(), ALL, false).expect("it is woken");
        exit_current()
    }

    let key = 0x5000;
    let mut config = ThreadConfig::new("a name of more than 15 bytes", entry, key, 0);
    config.extension = Box::new(7u8);
    config.on_reap = |_| IS_REAPED.store(true, Ordering::SeqCst);
    let thread = spawn(config);
    assert!(smp::thread_by_tid(thread.tid()).is_some());
    while futex_wake(key, 1, ALL) == 0 {
        thread::yield_now();
    }
    while !IS_REAPED.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    assert_eq!(thread.state(), ThreadState::Exited);
    assert!(smp::thread_by_tid(thread.tid()).is_none());
}
