//! Host threads as [`Thread`]s, so that what is built on this crate can be tested on a host.
//!
//! Each host thread becomes a `Thread` when it first asks for itself; [`crate::spawn`] starts one.
//! Parking, futexes, wait queues, mutexes, deadlines and interrupts work between them; there is
//! one CPU as far as anybody can tell, and the host preempts.

use alloc::{boxed::Box, sync::Arc};
use core::any::Any;
use std::sync::RwLock;

use crate::{Current, Thread, ThreadConfig, ThreadRef, prim};

/// The host's side of a thread.
#[derive(Debug)]
pub(crate) enum HostThread {
    /// A host thread plays it.
    Real(prim::thread::Thread),
    /// A test moves it between simulated CPUs.
    Simulated,
}

/// Makes the extension of a thread that was not spawned through this crate.
pub type ExtensionMaker = fn() -> Box<dyn Any + Send + Sync>;

static EXTENSION_MAKER: RwLock<ExtensionMaker> = RwLock::new(|| Box::new(()));

/// Sets what makes the extension of host threads that become threads lazily; without
/// it that is `()`.
pub fn set_extension_maker(maker: ExtensionMaker) {
    *EXTENSION_MAKER.write().expect("no writer panics") = maker;
}

struct Slot(ThreadRef);

impl Drop for Slot {
    fn drop(&mut self) {
        if cfg!(loom) && std::thread::panicking() {
            // The model is over, and with it all locks.
            return;
        }
        drop(self.0.spare_waiter.lock().take());
        remove(&self.0);
        self.0
            .has_exited
            .store(true, core::sync::atomic::Ordering::Release);
    }
}

#[cfg(loom)]
use loom::thread_local;
#[cfg(not(loom))]
use std::thread_local;

thread_local! {
    static SLOT: core::cell::RefCell<Option<Slot>> = core::cell::RefCell::new(None);
}

/// Returns the calling host thread's `Thread`, made now if there is none.
pub(crate) fn current() -> *const Thread {
    let existing = SLOT.with(|slot| slot.borrow().as_ref().map(|slot| Arc::as_ptr(&slot.0)));
    existing.unwrap_or_else(|| {
        let mut config = ThreadConfig::new("host", never_called, 0, 0);
        config.extension = EXTENSION_MAKER.read().expect("no writer panics")();
        let host = HostThread::Real(prim::thread::current());
        adopt(enter(config.tid, |tid| {
            Thread::new(config, tid, false, host)
        }))
    })
}

#[cfg(not(loom))]
use crate::registry::{insert_with as enter, remove};

/// A model has no list of threads: it would only add interleavings.
#[cfg(loom)]
fn enter(_: Option<u32>, make: impl FnOnce(u32) -> ThreadRef) -> ThreadRef {
    make(1)
}

#[cfg(loom)]
fn remove(_: &Thread) {}

extern "C" fn never_called(_: usize) -> ! {
    unreachable!("the host started this thread")
}

fn adopt(thread: ThreadRef) -> *const Thread {
    let pointer = Arc::as_ptr(&thread);
    SLOT.with(|slot| *slot.borrow_mut() = Some(Slot(thread)));
    pointer
}

/// See the bare-metal function of that name.
///
/// # Panics
///
/// Always.
pub fn init_cpu(_kernel_stack_top: usize) {
    panic!("a host schedules its threads itself")
}

/// See the bare-metal function of that name.
///
/// # Panics
///
/// Always.
pub fn run_idle() -> ! {
    panic!("a host schedules its threads itself")
}

/// Lets other threads run.
pub fn yield_now() {
    prim::thread::yield_now();
}

/// Lets other threads run.
pub fn preempt() {
    prim::thread::yield_now();
}

/// Starts a host thread for `config`. Models use loom's own `spawn`: the threads of this one never
/// return, see [`exit`], which loom takes for a deadlock.
pub(crate) fn start(config: ThreadConfig) -> ThreadRef {
    let (entry, arg) = (config.entry, config.arg);
    let (send, receive) = prim::mpsc::channel::<ThreadRef>();
    let host = prim::thread::spawn(move || {
        adopt(receive.recv().expect("the spawner sends the thread"));
        entry(arg)
    });
    let host = HostThread::Real(host.thread().clone());
    let thread = enter(config.tid, |tid| Thread::new(config, tid, false, host));
    send.send(thread.clone())
        .expect("the host thread receives it");
    thread
}

/// Ends the calling thread as far as this crate is concerned. The host thread sleeps until the
/// process ends: nothing can end it from within but a return, which the caller does not want.
pub(crate) fn exit(current: Current) -> ! {
    (current.on_reap)(&current);
    loop {
        prim::thread::park();
    }
}

/// Sleeps until unparked; says whether the deadline passed instead.
pub(crate) fn block(current: Current, deadline_ns: Option<u64>) -> bool {
    if !current.park.commit() {
        current.park.take_permit();
        return false;
    }
    let mut has_expired = false;
    while current.park.is_parked() {
        if host_park(deadline_ns) {
            has_expired = true;
            current.park.unpark();
        }
    }
    current.park.take_permit();
    has_expired
}

/// Has the host suspend the thread for a while; says whether the deadline has passed.
#[cfg(not(loom))]
fn host_park(deadline_ns: Option<u64>) -> bool {
    let Some(deadline_ns) = deadline_ns else {
        std::thread::park();
        return false;
    };
    let Some(rest_ns) = deadline_ns.checked_sub(crate::machine::now_ns()) else {
        return true;
    };
    std::thread::park_timeout(core::time::Duration::from_nanos(rest_ns));
    false
}

#[cfg(loom)]
std::thread_local! {
    /// Use loom's own `park`. It orders memory, which the handshake is to do, hence not always.
    pub(crate) static PARKS: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}

/// A deadline passes as soon as the thread sleeps.
#[cfg(loom)]
fn host_park(deadline_ns: Option<u64>) -> bool {
    if deadline_ns.is_none() && PARKS.get() {
        loom::thread::park();
    } else {
        loom::thread::yield_now();
    }
    deadline_ns.is_some()
}

/// Continues a parked thread whose `unpark` told this caller to.
pub(crate) fn make_runnable(thread: &Thread) {
    match &thread.host {
        #[cfg(not(loom))]
        HostThread::Real(host) => host.unpark(),
        // Else it looks by itself, see `host_park`.
        #[cfg(loom)]
        HostThread::Real(host) => {
            if PARKS.get() {
                host.unpark();
            }
        }
        HostThread::Simulated => {
            // SAFETY: the thread was `PARKED`, and that state's reference is now this caller's.
            crate::machine::wake(unsafe { Arc::from_raw(thread.as_arc_ptr()) });
        }
    }
}
