//! The beginning and the end of threads: `pthread_create` and `pthread_exit`.

use core::{
    ffi::{c_int, c_void},
    mem, ptr,
};

use linux_raw_sys::{
    errno::{EAGAIN, ENOSYS},
    general::{__NR_exit, __NR_set_tid_address, SIG_BLOCK},
};

use super::{
    attributes::Attributes, cancel, join, keys, musl, scheduling, stack, thread, thread::Thread,
    thread_list,
};
use crate::{
    arch,
    futex::{self, Scope, Sleep},
    lifecycle::Heir,
    lock,
    prim::{AtomicU32, Ordering},
    sys,
};

type Entry = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type EntryC11 = unsafe extern "C" fn(*mut c_void) -> c_int;

unsafe extern "C" {
    /// Starts a kernel thread that calls `entry(arg)` on the stack below `stack_top`, which
    /// is a multiple of 16, with thread pointer `tls` and the caller's signal mask. Returns
    /// its id, which is also stored at `ptid` before the thread runs, or a negated error
    /// number. At the end of the thread, `*ctid` is cleared and its futex woken.
    fn kernel_thread_start(
        entry: unsafe extern "C" fn(*mut c_void),
        arg: *mut c_void,
        stack_top: *mut c_void,
        tls: *mut c_void,
        ctid: *const AtomicU32,
        ptid: *const AtomicU32,
    ) -> isize;
    /// Ends the process; see `exit`.
    safe fn exit(status: c_int) -> !;
}

/// What a new thread runs.
#[derive(Clone, Copy)]
pub enum Routine {
    /// As `pthread_create` takes it.
    Posix(Entry),
    /// As `thrd_create` takes it.
    C11(EntryC11),
}

/// What a new thread finds at the top of its stack.
struct Start {
    routine: Routine,
    argument: *mut c_void,
    /// Scheduling that the creator asked for, and where it waits for the answer.
    scheduling: Option<Explicit>,
}

#[derive(Clone, Copy)]
struct Explicit {
    policy: c_int,
    priority: c_int,
    is_detached: bool,
    /// On the creator's stack: [`UNDECIDED`], then the error number or 0.
    answer: *const AtomicU32,
}

const UNDECIDED: u32 = u32::MAX;

/// Creates a thread; see `pthread_create`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    id: &mut *const Thread,
    attributes: Option<&Attributes>,
    entry: Entry,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { create(id, attributes, Routine::Posix(entry), argument) }
}

/// Creates a thread; returns 0 or an error number.
///
/// # Safety
///
/// `routine` may be called with `argument`, and a stack that `attributes` name is unused.
pub unsafe fn create(
    id: &mut *const Thread,
    attributes: Option<&Attributes>,
    routine: Routine,
    argument: *mut c_void,
) -> c_int {
    if musl::libc().can_do_threads.load(Ordering::Relaxed) == 0 {
        return ENOSYS.cast_signed();
    }
    musl::become_threaded();
    musl::__acquire_ptc();
    let defaults;
    let attributes = match attributes {
        Some(attributes) => attributes,
        None => {
            defaults = Attributes::new();
            &defaults
        }
    };
    let answer = AtomicU32::new(UNDECIDED);
    let is_detached = attributes.is_detached != 0;
    let scheduling = (attributes.is_scheduling_explicit != 0).then_some(Explicit {
        policy: attributes.policy,
        priority: attributes.priority,
        is_detached,
        answer: &raw const answer,
    });
    // SAFETY: the caller's contract.
    let result = unsafe {
        start_thread(
            id,
            attributes,
            Start {
                routine,
                argument,
                scheduling,
            },
        )
    };
    musl::__release_ptc();
    match result {
        // POSIX names one error for every lack of resources.
        Err(_) => EAGAIN.cast_signed(),
        Ok(thread) if scheduling.is_some() => wait_for_answer(thread, &answer),
        Ok(_) => 0,
    }
}

/// Returns whether the new thread could set its scheduling; if not, it is gone.
fn wait_for_answer(thread: &'static Thread, answer: &AtomicU32) -> c_int {
    loop {
        // Acquire: pairs with the Release in `apply`.
        let errno = answer.load(Ordering::Acquire);
        if errno != UNDECIDED {
            if errno != 0 {
                join::wait_and_release(thread);
            }
            return errno.cast_signed();
        }
        futex::wait(answer, UNDECIDED, Sleep::new(None, Scope::Private));
    }
}

/// # Safety
///
/// As `create`.
unsafe fn start_thread(
    id: &mut *const Thread,
    attributes: &Attributes,
    start: Start,
) -> Result<&'static Thread, sys::Errno> {
    let memory = if attributes.stack_top.is_null() {
        stack::allocate(attributes.stack_size, attributes.guard_size)?
    } else {
        stack::allocate_without_stack(attributes.stack_top, attributes.stack_size)?
    };
    let me = thread::current();
    let new = memory.thread;
    new.this.set(new);
    new.canary.set(me.canary.get());
    new.sysinfo.set(me.sysinfo.get());
    let body = &new.body;
    body.locale
        .set((&raw const musl::libc().global_locale).cast());
    // With scheduling of its own it may have to be joined here after all.
    body.lifecycle
        .restart(attributes.is_detached != 0 && start.scheduling.is_none());

    let size = mem::size_of::<Start>().next_multiple_of(16);
    let stack_top = memory.stack_top.wrapping_sub(size);
    // SAFETY: the top of the new stack, writable, aligned to 16, and used by nobody yet.
    unsafe { stack_top.cast::<Start>().write(start) };

    // Held until the thread is known by its id: those who go through the list use ids.
    let threads = thread_list::lock();
    threads.insert(new);
    *id = new;
    // SAFETY: the stack is the new thread's own, the block is set up, and its id lives in
    // memory that is not released before the kernel has cleared it.
    let result = unsafe {
        kernel_thread_start(
            begin,
            stack_top.cast(),
            stack_top.cast(),
            arch::thread_pointer_of(new),
            &raw const body.tid,
            &raw const body.tid,
        )
    };
    if result < 0 {
        threads.remove(new);
        drop(threads);
        // SAFETY: the thread never ran, and nobody knows it.
        unsafe { stack::release(new) };
        return Err(sys::Errno::new(
            u32::try_from(-result).expect("an error number"),
        ));
    }
    Ok(new)
}

/// The first function of every thread.
unsafe extern "C" fn begin(start: *mut c_void) {
    // SAFETY: `start_thread` wrote it there for this thread.
    let Start {
        routine,
        argument,
        scheduling,
    } = unsafe { start.cast::<Start>().read() };
    if let Some(scheduling) = scheduling {
        apply(scheduling);
    }
    // SAFETY: the creator's contract.
    let result = unsafe {
        match routine {
            Routine::Posix(entry) => entry(argument),
            Routine::C11(entry) => ptr::without_provenance_mut(entry(argument) as usize),
        }
    };
    exit_thread(result)
}

/// Sets the scheduling of the calling, new thread, or ends it.
fn apply(wanted: Explicit) {
    let me = thread::current();
    let result = scheduling::set(me.tid(), wanted.policy, wanted.priority);
    if result.is_ok() && wanted.is_detached {
        me.body
            .lifecycle
            .detach()
            .expect("nobody else could detach it yet");
    }
    let errno = result.err().map_or(0, |error| error.number());
    // SAFETY: the creator does not return before it has an answer.
    unsafe { &*wanted.answer }.store(errno, Ordering::Release);
    futex::wake(wanted.answer, 1, Scope::Private);
    if errno != 0 {
        exit_thread(ptr::null_mut());
    }
}

/// Ends the calling thread; see `pthread_exit`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_exit(result: *mut c_void) -> ! {
    exit_thread(result)
}

/// Ends the calling thread.
pub fn exit_thread(result: *mut c_void) -> ! {
    let me = thread::current();
    cancel::disable(me);
    me.body.result.set(result);
    cancel::run_cleanups(me);
    keys::__pthread_tsd_run_dtors();
    me.body.robust.abandon_all();

    // From here on signals go to other threads: handlers must not run on what is left.
    let mask = sys::change_signal_mask(SIG_BLOCK, u64::MAX);
    // Under the lock, so that whoever holds it may use the id for sending a signal.
    lock::lock_internal(&me.body.kill_lock);
    let heir = me.body.lifecycle.exit();
    lock::unlock(&me.body.kill_lock, Scope::Private);

    let threads = thread_list::lock();
    if threads.is_alone(me) {
        // The last thread ends the process, which runs exit handlers: an ordinary life.
        drop(threads);
        me.body.lifecycle.restart(heir == Heir::Nobody);
        sys::set_signal_mask(mask);
        exit(0);
    }
    musl::forget_current_thread();
    threads.remove(me);
    drop(threads);

    if me.body.map_base.get().is_null() {
        // musl gave the first thread another word to clear; joiners wait for this one.
        let _ = sys::call_plain(
            __NR_set_tid_address,
            [(&raw const me.body.tid).expose_provenance()],
        );
    } else if heir == Heir::Nobody {
        stack::release_own(me);
    }
    loop {
        let _ = sys::call_plain(__NR_exit, [0]);
    }
}
