//! Cancellation: `pthread_cancel`, and the places where it takes effect.
//!
//! A cancelled thread is told by a flag, and by musl's internal signal 33, which gets it out
//! of a sleep: its handler ends the thread if cancellation is enabled and the thread sleeps
//! at a cancellation point (or has asked for asynchronous cancellation). The mark "at a
//! cancellation point" is set before the flag is looked at, so the request is never missed.
//! A call that had just completed when the signal came may have had its effect.

use core::{
    ffi::{c_int, c_long, c_void},
    ptr,
    sync::atomic::{AtomicU8, compiler_fence},
};

use linux_raw_sys::{
    errno::EINVAL,
    general::{__NR_close, SA_RESTART, SA_SIGINFO},
};

use super::{create, signal, thread, thread::Thread};
use crate::{arch::Cleanup, prim::Ordering, sys};

const DISABLED: u8 = 1;
const ASYNCHRONOUS: u8 = 1;
const AT_POINT: u8 = 2;

/// What a cancelled thread returns: `PTHREAD_CANCELED`.
const CANCELED: *mut c_void = ptr::without_provenance_mut(usize::MAX);

/// musl's signal for this.
const SIGCANCEL: c_int = 33;

/// `struct sigaction` of musl's `<signal.h>`.
#[repr(C)]
pub struct Action {
    /// What runs.
    pub handler: unsafe extern "C" fn(c_int, *mut c_void, *mut c_void),
    /// What is blocked meanwhile.
    pub mask: [u64; 16],
    /// `SA_*`.
    pub flags: c_int,
    /// Filled in by musl.
    pub restorer: *const c_void,
}

unsafe extern "C" {
    /// musl's sigaction for its own signals.
    pub fn __libc_sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int;
}

impl Thread {
    fn is_cancelled_here(&self) -> bool {
        // Acquire: what the canceller did before is done.
        self.body.cancel.load(Ordering::Acquire) != 0
            && self.body.cancel_state.load(Ordering::Relaxed) != DISABLED
    }
}

fn end_if_cancelled(me: &Thread) {
    if me.is_cancelled_here() {
        create::exit_thread(CANCELED);
    }
}

/// Makes a call that sleeps, as a cancellation point.
pub fn point<T>(call: impl FnOnce() -> T) -> T {
    let me = thread::current();
    if me.body.cancel_state.load(Ordering::Relaxed) == DISABLED {
        return call();
    }
    let kind: &AtomicU8 = &me.body.cancel_type;
    let before = kind.load(Ordering::Relaxed);
    kind.store(before | AT_POINT, Ordering::Relaxed);
    // The signal handler runs on this thread: only the compiler could swap the two.
    compiler_fence(Ordering::SeqCst);
    end_if_cancelled(me);
    let result = call();
    compiler_fence(Ordering::SeqCst);
    kind.store(before, Ordering::Relaxed);
    result
}

unsafe extern "C" fn on_cancel(_signal: c_int, _info: *mut c_void, _context: *mut c_void) {
    let me = thread::current();
    if me.body.cancel_type.load(Ordering::Relaxed) & (ASYNCHRONOUS | AT_POINT) != 0 {
        end_if_cancelled(me);
    }
}

/// Runs a system call as a cancellation point; musl's blocking functions end here.
#[unsafe(no_mangle)]
unsafe extern "C" fn __syscall_cp(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    let call = || {
        let arguments = [a, b, c, d, e, f].map(|argument| argument.cast_unsigned() as usize);
        // SAFETY: the caller's contract: musl passes on what its own callers passed.
        unsafe { sys::call(number.cast_unsigned() as u32, arguments) }
    };
    // A cancelled close must leave the descriptor open, so the signal may not come between.
    let result = if number.cast_unsigned() as u32 == __NR_close {
        pthread_testcancel();
        call()
    } else {
        point(call)
    };
    result.map_or_else(
        |error| -c_long::from(error.code()),
        |value| value.cast_signed() as c_long,
    )
}

/// Acts on a pending cancellation; see `pthread_testcancel`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_testcancel() {
    end_if_cancelled(thread::current());
}

/// Asks a thread to end; see `pthread_cancel`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_cancel(target: &Thread) -> c_int {
    let action = Action {
        handler: on_cancel,
        mask: [0; 16],
        flags: (SA_SIGINFO | SA_RESTART).cast_signed(),
        restorer: ptr::null(),
    };
    // Each caller sets the same action: cheaper than to know who was first.
    // SAFETY: the handler only reads and ends its own thread; the action is a live local.
    if unsafe { __libc_sigaction(SIGCANCEL, &raw const action, ptr::null_mut()) } != 0 {
        return thread::current().body.errno.get();
    }
    // Release: the target sees what the caller did before.
    target.body.cancel.store(1, Ordering::Release);
    if ptr::eq(target, thread::current()) {
        if target.body.cancel_type.load(Ordering::Relaxed) & ASYNCHRONOUS != 0 {
            end_if_cancelled(target);
        }
        return 0;
    }
    signal::send(target, SIGCANCEL)
}

/// Enables or disables cancellation; see `pthread_setcancelstate`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_setcancelstate(state: c_int, old: Option<&mut c_int>) -> c_int {
    let Some(state) = u8::try_from(state).ok().filter(|&state| state <= DISABLED) else {
        return EINVAL.cast_signed();
    };
    let me = thread::current();
    let before = me.body.cancel_state.swap(state, Ordering::Relaxed);
    if let Some(old) = old {
        *old = c_int::from(before);
    }
    if me.body.cancel_type.load(Ordering::Relaxed) & ASYNCHRONOUS != 0 {
        end_if_cancelled(me);
    }
    0
}

/// Chooses deferred or asynchronous cancellation; see `pthread_setcanceltype`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_setcanceltype(kind: c_int, old: Option<&mut c_int>) -> c_int {
    let Some(kind) = u8::try_from(kind).ok().filter(|&kind| kind <= ASYNCHRONOUS) else {
        return EINVAL.cast_signed();
    };
    let me = thread::current();
    let before = me.body.cancel_type.swap(kind, Ordering::Relaxed);
    if let Some(old) = old {
        *old = c_int::from(before);
    }
    if kind == ASYNCHRONOUS {
        end_if_cancelled(me);
    }
    0
}

/// Pushes a cleanup handler; `pthread_cleanup_push` of musl's `<pthread.h>`.
#[unsafe(no_mangle)]
extern "C" fn _pthread_cleanup_push(
    cleanup: &mut Cleanup,
    routine: Option<unsafe extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
) {
    let me = thread::current();
    *cleanup = Cleanup {
        routine,
        argument,
        next: me.body.cleanups.get(),
    };
    me.body.cleanups.set(cleanup);
}

/// Pops a cleanup handler, and runs it if asked to; `pthread_cleanup_pop`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _pthread_cleanup_pop(cleanup: &Cleanup, execute: c_int) {
    thread::current().body.cleanups.set(cleanup.next);
    if execute != 0 {
        // SAFETY: the caller's contract: it was pushed with this argument.
        unsafe { cleanup.run() };
    }
}

impl Cleanup {
    /// Runs the handler.
    ///
    /// # Safety
    ///
    /// Whoever pushed it left it valid.
    pub unsafe fn run(&self) {
        if let Some(routine) = self.routine {
            // SAFETY: the caller's contract.
            unsafe { routine(self.argument) };
        }
    }
}

/// Runs `body` with `routine` as cleanup handler, for the case that it is cancelled.
pub fn with_cleanup<T>(
    routine: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
    body: impl FnOnce() -> T,
) -> T {
    let me = thread::current();
    let mut cleanup = Cleanup {
        routine: Some(routine),
        argument,
        next: me.body.cleanups.get(),
    };
    me.body.cleanups.set(&raw mut cleanup);
    compiler_fence(Ordering::SeqCst);
    let result = body();
    compiler_fence(Ordering::SeqCst);
    me.body.cleanups.set(cleanup.next);
    result
}

/// Runs and removes every cleanup handler of the calling thread.
pub fn run_cleanups(me: &Thread) {
    // SAFETY: handlers on the list lie in frames of this thread that have not returned.
    while let Some(cleanup) = unsafe { me.body.cleanups.get().as_ref() } {
        me.body.cleanups.set(cleanup.next);
        // SAFETY: as above, with what it was pushed with.
        unsafe { cleanup.run() };
    }
}

/// Makes the calling thread, which ends, deaf to further requests.
pub fn disable(me: &Thread) {
    me.body.cancel_state.store(DISABLED, Ordering::Relaxed);
    me.body.cancel_type.store(0, Ordering::Relaxed);
}
