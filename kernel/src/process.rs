//! The one process: what the kernel keeps about it and, beyond `smp::Thread`, about each of
//! its threads.
//!
//! Kernel threads are no part of it: their [`smp::Thread::extension`] is not a [`ThreadData`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use smp::{SpinLock, Thread, ThreadRef};

use crate::fs::context::FsContext;
use crate::libc::signal::{self, ProcessState, Signal, SignalInfo, SignalSet, ThreadState};

/// The process id, and the thread id of its first thread: that of a system's first process.
pub const PID: u32 = 1;

/// What the process has beyond its threads.
pub static PROCESS: Process = Process::new();

/// State of the process as a whole.
pub struct Process {
    /// Pending signals and actions. Lock order: this, then a thread's `signals`.
    pub signals: SpinLock<ProcessState>,
    /// How many of its threads live.
    thread_count: AtomicUsize,
    /// What threads that have ended leave to the sums.
    ended: SpinLock<Usage>,
}

/// What threads have used of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Time on CPUs.
    pub cpu_ns: u64,
    /// Switches to another thread because this one slept.
    pub voluntary_switches: u64,
    /// Switches to another thread because it was the other's turn.
    pub involuntary_switches: u64,
}

impl Usage {
    /// What `thread` has used so far.
    pub fn of(thread: &Thread) -> Self {
        let (voluntary_switches, involuntary_switches) = thread.context_switches();
        Self {
            cpu_ns: thread.cpu_time_ns(),
            voluntary_switches,
            involuntary_switches,
        }
    }

    fn add(&mut self, other: Self) {
        self.cpu_ns += other.cpu_ns;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
    }
}

/// What the kernel keeps about one thread of the process.
pub struct ThreadData {
    /// Pending signals, mask and alternate stack.
    pub signals: SpinLock<ThreadState>,
    /// The word of C's memory that is cleared and woken when the thread ends; 0: none. See
    /// `set_tid_address(2)`.
    pub clear_child_tid: AtomicUsize,
    /// Where C keeps an exception for this thread that may be waiting there; 0: nowhere. Only the
    /// thread itself touches it. See `libc::signal`.
    pub waiting_exception: AtomicUsize,
    /// Where it is in the file system; shared with other threads.
    pub fs_context: SpinLock<Arc<FsContext>>,
    /// Its usage is in [`Process::ended`]; changed under that lock.
    has_ended: AtomicBool,
}

impl ThreadData {
    /// A thread that blocks the signals of `mask`.
    pub fn new(mask: SignalSet, fs_context: Arc<FsContext>) -> Self {
        Self {
            signals: SpinLock::new(ThreadState::new(mask)),
            clear_child_tid: AtomicUsize::new(0),
            waiting_exception: AtomicUsize::new(0),
            fs_context: SpinLock::new(fs_context),
            has_ended: AtomicBool::new(false),
        }
    }

    /// The data of `thread`; `None` for a kernel thread.
    pub fn of(thread: &Thread) -> Option<&Self> {
        thread.extension().downcast_ref()
    }
}

impl Process {
    const fn new() -> Self {
        Self {
            signals: SpinLock::new(ProcessState::new()),
            thread_count: AtomicUsize::new(0),
            ended: SpinLock::new(Usage {
                cpu_ns: 0,
                voluntary_switches: 0,
                involuntary_switches: 0,
            }),
        }
    }

    /// Counts a thread that begins.
    pub fn thread_begins(&self) {
        self.thread_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a thread that ends, and keeps its usage. Returns how many are left.
    pub fn thread_ends(&self, thread: &Thread) -> usize {
        let mut ended = self.ended.lock();
        if let Some(data) = ThreadData::of(thread) {
            data.has_ended.store(true, Ordering::Relaxed);
        }
        ended.add(Usage::of(thread));
        drop(ended);
        self.thread_count.fetch_sub(1, Ordering::AcqRel) - 1
    }

    /// How many of its threads live.
    pub fn thread_count(&self) -> usize {
        self.thread_count.load(Ordering::Relaxed)
    }

    /// What all its threads have used, those that ended included.
    pub fn usage(&self) -> Usage {
        let living = threads();
        // From here on a thread that ends moves its usage to `ended` and is then skipped below.
        let ended = self.ended.lock();
        let mut sum = *ended;
        for thread in &living {
            if ThreadData::of(thread).is_some_and(|data| !data.has_ended.load(Ordering::Relaxed)) {
                sum.add(Usage::of(thread));
            }
        }
        sum
    }
}

/// The living threads of the process, in the order of their ids, kernel threads left out.
pub fn threads() -> Vec<ThreadRef> {
    let mut threads = smp::threads();
    threads.retain(|thread| ThreadData::of(thread).is_some());
    threads
}

/// The thread of the process with this id.
pub fn thread(tid: u32) -> Option<ThreadRef> {
    smp::thread_by_tid(tid).filter(|thread| ThreadData::of(thread).is_some())
}

/// Breaks off what the thread with this thread pointer waits for, so that it looks for an exception.
pub fn interrupt_waits(thread_pointer: usize) {
    let is_it = |thread: &ThreadRef| thread.thread_pointer() == thread_pointer;
    if let Some(thread) = threads().into_iter().find(is_it) {
        let signal = Signal::THREAD_WAKE;
        // It fails only when the thread is ending.
        let _ = signal::to_thread(&thread, signal, SignalInfo::from_kernel(signal));
    }
}

/// The main thread, while it lives.
pub fn main_thread() -> Option<ThreadRef> {
    thread(PID)
}

/// Ends the process: what follows (a fresh interpreter, power off) is the interpreter's
/// starter to decide.
pub fn exited(status: i32) -> ! {
    #[cfg(target_os = "none")]
    {
        crate::python::exited(status)
    }
    #[cfg(not(target_os = "none"))]
    {
        panic!("the process ends with status {status}")
    }
}
