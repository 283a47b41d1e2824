//! Running a function on every thread: `__synccall`, which musl needs where the kernel
//! keeps something per thread that POSIX keeps per process (user ids).

use core::{
    cell::Cell,
    ffi::{c_int, c_void},
    ptr,
};

use linux_raw_sys::{
    errno::EAGAIN,
    general::{__NR_tkill, SA_ONSTACK, SA_RESTART, SIG_BLOCK},
};

use super::{
    cancel::{__libc_sigaction, Action},
    thread, thread_list,
};
use crate::{
    futex::Scope,
    prim::{AtomicU32, Ordering},
    semaphore::Semaphore,
    sys,
};

/// musl's signal for this.
const SIGSYNCCALL: c_int = 34;

type Callback = unsafe extern "C" fn(*mut c_void);

/// What the threads are to do, and how they take turns.
struct Round {
    callback: Cell<Option<Callback>>,
    argument: Cell<*mut c_void>,
    /// The thread that is being stopped; the signal means no other.
    target: AtomicU32,
    /// Lets one stopped thread run the function.
    turn: Semaphore,
    /// A stopped thread has arrived, has run the function, or has left.
    reply: Semaphore,
    /// Lets one stopped thread go on.
    leave: Semaphore,
}

// SAFETY: `callback` and `argument` are set while no other thread runs the handler, under
// the thread-list lock; the semaphores order the rest.
unsafe impl Sync for Round {}

static ROUND: Round = Round {
    callback: Cell::new(None),
    argument: Cell::new(ptr::null_mut()),
    target: AtomicU32::new(0),
    turn: Semaphore::new(0),
    reply: Semaphore::new(0),
    leave: Semaphore::new(0),
};

impl Round {
    fn call(&self) {
        if let Some(callback) = self.callback.get() {
            // SAFETY: the contract of `__synccall`.
            unsafe { callback(self.argument.get()) };
        }
    }
}

fn set_action(action: &Action) {
    // SAFETY: the handler's contract is this module's; musl reads the action.
    let result = unsafe { __libc_sigaction(SIGSYNCCALL, action, ptr::null_mut()) };
    debug_assert_eq!(result, 0, "an action for a valid signal");
}

fn wait(semaphore: &Semaphore) {
    // Interrupted cannot happen with all signals blocked; if it did, wait on.
    while semaphore.wait(None, Scope::Private).is_err() {}
}

fn post(semaphore: &Semaphore) {
    semaphore
        .post(Scope::Private)
        .expect("at most one post for each thread");
}

unsafe extern "C" fn stopped(_signal: c_int, _info: *mut c_void, _context: *mut c_void) {
    let me = thread::current();
    if ROUND.target.load(Ordering::Acquire) != me.tid() {
        return;
    }
    let errno = me.body.errno.get();
    post(&ROUND.reply);
    wait(&ROUND.turn);
    ROUND.call();
    post(&ROUND.reply);
    wait(&ROUND.leave);
    post(&ROUND.reply);
    me.set_errno(errno);
}

/// Runs `callback(argument)` on every thread, one after the other, the caller last.
#[unsafe(no_mangle)]
unsafe extern "C" fn __synccall(callback: Callback, argument: *mut c_void) {
    let mask = sys::change_signal_mask(SIG_BLOCK, u64::MAX);
    let threads = thread_list::lock();
    let me = thread::current();
    ROUND.callback.set(Some(callback));
    ROUND.argument.set(argument);
    let mut stopped_count = 0_u32;
    if !threads.is_alone(me) {
        let flags = (SA_RESTART | SA_ONSTACK).cast_signed();
        set_action(&Action {
            handler: stopped,
            mask: [u64::MAX; 16],
            flags,
            restorer: ptr::null(),
        });
        threads.for_each_other(|other| {
            let tid = other.tid();
            ROUND.target.store(tid, Ordering::Release);
            let sent = loop {
                match sys::call_plain(__NR_tkill, [tid as usize, SIGSYNCCALL as usize]) {
                    Err(error) if error.number() == EAGAIN => {}
                    other => break other.is_ok(),
                }
            };
            if sent {
                wait(&ROUND.reply);
                stopped_count += 1;
            } else {
                // Half of the threads with new ids would be worse than none.
                ROUND.callback.set(None);
            }
        });
        ROUND.target.store(0, Ordering::Release);
        for _ in 0..stopped_count {
            post(&ROUND.turn);
            wait(&ROUND.reply);
        }
    }
    ROUND.call();
    for _ in 0..stopped_count {
        post(&ROUND.leave);
    }
    for _ in 0..stopped_count {
        wait(&ROUND.reply);
    }
    drop(threads);
    sys::set_signal_mask(mask);
}
