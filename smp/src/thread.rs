//! Threads: what the scheduler keeps about each, and the calls a thread makes about itself.

use core::{
    any::Any,
    fmt,
    marker::PhantomData,
    mem::offset_of,
    ops::Deref,
    // Not from `prim`: assembly knows the first fields' layout, and nothing is ordered by the
    // others (statistics, settings), so loom has nothing to say about them.
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence},
};

use alloc::{
    boxed::Box,
    sync::{Arc, Weak},
};

use intrusive_collections::{LinkedListAtomicLink, RBTreeAtomicLink};

use crate::{
    CpuId, CpuMask, Policy, Scheduling, SpinLock, Waiter, cpu_clock::CpuClock, futex::FutexNode,
    machine, parking::ParkState, registry, scheduler, scheduler::TimerNode,
};

/// A counted reference to a thread; it may outlive the thread's run.
pub type ThreadRef = Arc<Thread>;

/// Bit of [`Thread::notify`]: a signal waits for the thread.
pub const NOTIFY_SIGNAL: u32 = 1;

/// A thread's name, as `PR_SET_NAME` has it: at most 15 bytes, not necessarily UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadName {
    bytes: [u8; 15],
    len: u8,
}

impl ThreadName {
    /// Makes a name of the first 15 bytes of `name`, or those before its first NUL.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        let len = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len())
            .min(15);
        let mut bytes = [0; 15];
        bytes[..len].copy_from_slice(&name[..len]);
        Self {
            bytes,
            len: len as u8,
        }
    }

    /// Returns the name without a terminator.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&alloc::string::String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}",
            alloc::string::String::from_utf8_lossy(self.as_bytes())
        )
    }
}

/// What a thread is doing; the states that `/proc/self/task/*/stat` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// On a CPU or ready for one (`R`).
    Running,
    /// Waiting (`S`).
    Sleeping,
    /// Gone, but for references to it (`X`).
    Exited,
}

/// A set of CPUs has none that is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchCpu;

/// What it takes to start a thread.
pub struct ThreadConfig {
    /// The name.
    pub name: ThreadName,
    /// Its id, if it is to be 1, which no other thread gets; without it the next free one.
    pub tid: Option<u32>,
    /// Called on the kernel stack with interrupts on; ends by [`exit_current`].
    pub entry: extern "C" fn(usize) -> !,
    /// Passed to `entry`.
    pub arg: usize,
    /// The end of the thread's kernel stack, aligned to 16.
    pub kernel_stack_top: usize,
    /// The C thread pointer (FS base, TPIDR_EL0).
    pub thread_pointer: usize,
    /// The CPUs it may run on.
    pub affinity: CpuMask,
    /// Policy and nice value.
    pub scheduling: Scheduling,
    /// The kernel's own data about the thread. Its `drop` must not sleep.
    pub extension: Box<dyn Any + Send + Sync>,
    /// Called once when the thread has left its kernel stack for good, with interrupts off
    /// and from another context: frees the stack. It may take spin locks, nothing that sleeps.
    pub on_reap: fn(&Thread),
}

impl ThreadConfig {
    /// Makes a configuration with default settings: any CPU, nice 0, no extension.
    pub fn new(
        name: &str,
        entry: extern "C" fn(usize) -> !,
        arg: usize,
        kernel_stack_top: usize,
    ) -> Self {
        Self {
            name: ThreadName::new(name),
            tid: None,
            entry,
            arg,
            kernel_stack_top,
            thread_pointer: 0,
            affinity: CpuMask::ALL,
            scheduling: Scheduling::default(),
            extension: Box::new(()),
            on_reap: |_| (),
        }
    }
}

/// A thread. Assembly reads the first five fields at the offsets in [`Thread`]'s constants.
#[repr(C)]
pub struct Thread {
    kernel_stack_top: usize,
    thread_pointer: AtomicUsize,
    kernel_sp: AtomicUsize,
    preempt_count: AtomicU32,
    notify: AtomicU32,

    this: Weak<Thread>,
    tid: u32,
    pub(crate) park: ParkState,
    pub(crate) run_link: LinkedListAtomicLink,
    pub(crate) timer_link: RBTreeAtomicLink,
    pub(crate) timer: TimerNode,
    pub(crate) futex_link: LinkedListAtomicLink,
    pub(crate) futex: FutexNode,
    pub(crate) registry_link: RBTreeAtomicLink,
    pub(crate) cpu: AtomicU32,
    pub(crate) affinity: AtomicU64,
    pub(crate) scheduling: AtomicU32,
    pub(crate) slice_left_ns: AtomicU64,
    pub(crate) clock: CpuClock,
    pub(crate) voluntary_switches: AtomicU64,
    pub(crate) involuntary_switches: AtomicU64,
    pub(crate) has_exited: AtomicBool,
    pub(crate) is_idle: bool,
    name: SpinLock<ThreadName>,
    /// The waiter of the last [`crate::WaitQueue::wait`], kept so that the next allocates none.
    pub(crate) spare_waiter: SpinLock<Option<Arc<Waiter>>>,
    pub(crate) entry: extern "C" fn(usize) -> !,
    pub(crate) arg: usize,
    pub(crate) on_reap: fn(&Thread),
    extension: Box<dyn Any + Send + Sync>,
    #[cfg(not(target_os = "none"))]
    pub(crate) host: crate::fake::HostThread,
}

const _: () = {
    assert!(offset_of!(Thread, kernel_stack_top) == Thread::KERNEL_STACK_TOP_OFFSET);
    assert!(offset_of!(Thread, thread_pointer) == Thread::THREAD_POINTER_OFFSET);
    assert!(offset_of!(Thread, kernel_sp) == Thread::KERNEL_SP_OFFSET);
    assert!(offset_of!(Thread, preempt_count) == Thread::PREEMPT_COUNT_OFFSET);
    assert!(offset_of!(Thread, notify) == Thread::NOTIFY_OFFSET);
};

impl Thread {
    /// Where `kernel_stack_top` is, for assembly.
    pub const KERNEL_STACK_TOP_OFFSET: usize = 0;
    /// Where `thread_pointer` is, for assembly.
    pub const THREAD_POINTER_OFFSET: usize = 8;
    /// Where `kernel_sp` is, for assembly.
    pub const KERNEL_SP_OFFSET: usize = 16;
    /// Where `preempt_count` (32 bits) is, for assembly.
    pub const PREEMPT_COUNT_OFFSET: usize = 24;
    /// Where `notify` (32 bits) is, for assembly.
    pub const NOTIFY_OFFSET: usize = 28;

    pub(crate) fn new(
        config: ThreadConfig,
        tid: u32,
        is_idle: bool,
        #[cfg(not(target_os = "none"))] host: crate::fake::HostThread,
    ) -> ThreadRef {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            kernel_stack_top: config.kernel_stack_top,
            thread_pointer: AtomicUsize::new(config.thread_pointer),
            kernel_sp: AtomicUsize::new(0),
            preempt_count: AtomicU32::new(0),
            notify: AtomicU32::new(0),
            tid,
            park: ParkState::new(),
            run_link: LinkedListAtomicLink::new(),
            timer_link: RBTreeAtomicLink::new(),
            timer: TimerNode::new(),
            futex_link: LinkedListAtomicLink::new(),
            futex: FutexNode::new(),
            registry_link: RBTreeAtomicLink::new(),
            cpu: AtomicU32::new(0),
            affinity: AtomicU64::new(config.affinity.bits()),
            scheduling: AtomicU32::new(config.scheduling.encode()),
            slice_left_ns: AtomicU64::new(config.scheduling.slice_ns()),
            clock: CpuClock::default(),
            voluntary_switches: AtomicU64::new(0),
            involuntary_switches: AtomicU64::new(0),
            has_exited: AtomicBool::new(false),
            is_idle,
            name: SpinLock::new(config.name),
            spare_waiter: SpinLock::new(None),
            entry: config.entry,
            arg: config.arg,
            on_reap: config.on_reap,
            extension: config.extension,
            #[cfg(not(target_os = "none"))]
            host,
        })
    }

    /// Returns the thread id: positive, unique among living threads, 0 for idle threads.
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// Returns the name.
    pub fn name(&self) -> ThreadName {
        *self.name.lock()
    }

    /// Returns the name if that needs no waiting; for reports after a panic.
    pub fn try_name(&self) -> Option<ThreadName> {
        self.name.try_lock().map(|name| *name)
    }

    /// Renames the thread.
    pub fn set_name(&self, name: ThreadName) {
        *self.name.lock() = name;
    }

    /// Returns what the thread is doing, as of a moment ago.
    pub fn state(&self) -> ThreadState {
        if self.has_exited.load(Ordering::Acquire) {
            ThreadState::Exited
        } else if self.park.is_parked() {
            ThreadState::Sleeping
        } else {
            ThreadState::Running
        }
    }

    /// Says whether the thread waits in a run queue for its turn, as of a moment ago.
    pub fn is_queued(&self) -> bool {
        self.run_link.is_linked()
    }

    /// Says whether this is the idle thread of a CPU.
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Returns the CPU that the thread runs on, or last ran on.
    pub fn last_cpu(&self) -> CpuId {
        CpuId(self.cpu.load(Ordering::Relaxed))
    }

    /// Returns the time it has spent on CPUs, see `CLOCK_THREAD_CPUTIME_ID` in `clock_gettime(2)`.
    pub fn cpu_time_ns(&self) -> u64 {
        self.clock.read_ns()
    }

    /// Returns how often the thread slept, and how often it was made to yield; `getrusage(2)`.
    pub fn context_switches(&self) -> (u64, u64) {
        (
            self.voluntary_switches.load(Ordering::Relaxed),
            self.involuntary_switches.load(Ordering::Relaxed),
        )
    }

    /// Returns the CPUs that the thread may run on.
    pub fn affinity(&self) -> CpuMask {
        CpuMask::from_bits(self.affinity.load(Ordering::Relaxed))
    }

    /// Sets the CPUs that the thread may run on and moves it if it is on another.
    ///
    /// # Errors
    ///
    /// [`NoSuchCpu`], changing nothing, if none of `cpus` is online (`EINVAL`).
    pub fn set_affinity(&self, cpus: CpuMask) -> Result<(), NoSuchCpu> {
        if cpus.and(scheduler::online_cpus()).is_empty() {
            return Err(NoSuchCpu);
        }
        self.affinity.store(cpus.bits(), Ordering::SeqCst);
        scheduler::on_affinity_change(self);
        Ok(())
    }

    /// Returns policy and nice value.
    pub fn scheduling(&self) -> Scheduling {
        Scheduling::decode(self.scheduling.load(Ordering::Relaxed))
    }

    /// Sets policy and nice value; they count from the thread's next turn.
    pub fn set_scheduling(&self, scheduling: Scheduling) {
        self.scheduling
            .store(scheduling.encode(), Ordering::Relaxed);
    }

    /// Returns the C thread pointer.
    pub fn thread_pointer(&self) -> usize {
        self.thread_pointer.load(Ordering::Relaxed)
    }

    /// Sets the C thread pointer that the next switch to the thread loads.
    pub fn set_thread_pointer(&self, value: usize) {
        self.thread_pointer.store(value, Ordering::Relaxed);
    }

    /// Returns the end of the kernel stack.
    pub fn kernel_stack_top(&self) -> usize {
        self.kernel_stack_top
    }

    /// Returns the kernel stack pointer of a thread that does not run.
    pub fn kernel_sp(&self) -> usize {
        self.kernel_sp.load(Ordering::Relaxed)
    }

    /// Stores the kernel stack pointer; for [`crate::Platform::switch`].
    pub fn set_kernel_sp(&self, value: usize) {
        self.kernel_sp.store(value, Ordering::Relaxed);
    }

    /// Returns how many guards forbid preempting the thread.
    pub fn preempt_count(&self) -> u32 {
        self.preempt_count.load(Ordering::Relaxed)
    }

    /// Returns what the thread is to be told before it returns to C code.
    pub fn notify(&self) -> u32 {
        self.notify.load(Ordering::Acquire)
    }

    /// Sets bits of [`Thread::notify`].
    pub fn set_notify(&self, bits: u32) {
        self.notify.fetch_or(bits, Ordering::Release);
    }

    /// Clears bits of [`Thread::notify`] and returns which of them were set.
    pub fn clear_notify(&self, bits: u32) -> u32 {
        self.notify.fetch_and(!bits, Ordering::AcqRel) & bits
    }

    /// Tells the thread of a signal: sets [`NOTIFY_SIGNAL`], ends an interruptible sleep, and
    /// if it runs on another CPU interrupts that, so that it notices soon.
    ///
    /// Interruptible sleeps return [`Wake::Interrupted`] until the bit is cleared.
    pub fn interrupt(&self) {
        self.set_notify(NOTIFY_SIGNAL);
        self.unpark();
        scheduler::nudge(self);
    }

    /// Makes the thread's current or next [`park`] return. Interrupt handlers may call it.
    pub fn unpark(&self) {
        if self.park.unpark() {
            scheduler::make_runnable(self);
        }
    }

    /// Returns the kernel's own data about the thread.
    pub fn extension(&self) -> &(dyn Any + Send + Sync) {
        &*self.extension
    }

    fn has_signal(&self) -> bool {
        self.notify() & NOTIFY_SIGNAL != 0
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("tid", &self.tid)
            .field("state", &self.state())
            .field("cpu", &self.last_cpu())
            .finish_non_exhaustive()
    }
}

/// The current thread: as long as this handle is on its stack, it exists.
#[derive(Clone, Copy)]
pub struct Current {
    thread: *const Thread,
    /// Another thread must not get it: it would not keep this one alive.
    _not_send: PhantomData<*const ()>,
}

impl Deref for Current {
    type Target = Thread;

    #[inline]
    fn deref(&self) -> &Thread {
        // SAFETY: the thread runs and has this handle, so the scheduler holds a reference to it.
        unsafe { &*self.thread }
    }
}

impl Current {
    /// Returns a reference that may be kept and sent.
    pub fn to_ref(self) -> ThreadRef {
        // SAFETY: the thread runs, so its count is not zero; the pointer is the `Arc`'s own.
        unsafe {
            Arc::increment_strong_count(self.as_arc_ptr());
            Arc::from_raw(self.as_arc_ptr())
        }
    }
}

impl Thread {
    /// Returns what `Arc::into_raw` gave for this thread.
    pub(crate) fn as_arc_ptr(&self) -> *const Thread {
        self.this.as_ptr()
    }

    /// Forbids preempting this thread for ever; it does not run yet.
    #[cfg(target_os = "none")]
    pub(crate) fn forbid_preemption(&self) {
        self.preempt_count.store(1, Ordering::Relaxed);
    }
}

/// Returns the current thread.
///
/// # Panics
///
/// Before `init_cpu` on this CPU.
#[inline]
pub fn current() -> Current {
    let thread = machine::current();
    assert!(!thread.is_null(), "no thread on this CPU yet");
    Current {
        thread,
        _not_send: PhantomData,
    }
}

/// Returns a counted reference to the current thread.
pub fn current_ref() -> ThreadRef {
    current().to_ref()
}

/// Forbids preemption of the current thread and returns it; null before there is one.
#[inline]
pub(crate) fn preempt_disable() -> *const Thread {
    let thread = machine::current();
    if !thread.is_null() {
        // SAFETY: the current thread exists while it runs.
        let count = unsafe { &(*thread).preempt_count };
        // Only the thread itself and interrupts that nest within it write the count, so
        // no read-modify-write is needed: an interrupt leaves it as it found it.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
    thread
}

/// Ends one `preempt_disable` and says whether that was the last.
///
/// # Safety
///
/// `thread` is what that `preempt_disable` returned, on this thread.
#[inline]
pub(crate) unsafe fn preempt_enable(thread: *const Thread) -> bool {
    if thread.is_null() {
        return false;
    }
    compiler_fence(Ordering::SeqCst);
    // SAFETY: by the caller's contract it is the current thread, which exists while it runs.
    let count = unsafe { &(*thread).preempt_count };
    let rest = count.load(Ordering::Relaxed) - 1;
    count.store(rest, Ordering::Relaxed);
    rest == 0
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody called [`Thread::unpark`], perhaps for an earlier reason: check and sleep again.
    Unparked,
    /// The deadline has passed; a wake-up may have come at the same time.
    TimedOut,
    /// A signal waits for the thread.
    Interrupted,
}

/// Sleeps until somebody calls [`Thread::unpark`] on this thread, which may have happened since
/// its last `park`, until `deadline_ns` of the monotonic clock, or, if `interruptible`, until
/// a signal waits for it. It may also return [`Wake::Unparked`] for no reason.
///
/// # Panics
///
/// If interrupts are off or preemption is forbidden: then this thread must not sleep.
pub fn park(deadline_ns: Option<u64>, interruptible: bool) -> Wake {
    let current = current();
    assert!(
        current.preempt_count() == 0,
        "sleeping while preemption is forbidden"
    );
    assert!(
        machine::interrupts_enabled(),
        "sleeping with interrupts off"
    );
    if current.park.take_permit() {
        return Wake::Unparked;
    }
    if interruptible && current.has_signal() {
        return Wake::Interrupted;
    }
    if deadline_ns.is_some_and(|deadline| machine::now_ns() >= deadline) {
        return Wake::TimedOut;
    }
    let has_expired = scheduler::block(current, deadline_ns);
    if interruptible && current.has_signal() {
        Wake::Interrupted
    } else if has_expired {
        Wake::TimedOut
    } else {
        Wake::Unparked
    }
}

/// Sleeps until `deadline_ns` whatever wake-ups come, or until a signal waits if `interruptible`.
/// Never returns [`Wake::Unparked`].
pub fn sleep_until(deadline_ns: u64, interruptible: bool) -> Wake {
    loop {
        match park(Some(deadline_ns), interruptible) {
            Wake::Unparked => (),
            wake => return wake,
        }
    }
}

/// Starts a thread. It is in [`crate::threads`] until it has exited.
pub fn spawn(config: ThreadConfig) -> ThreadRef {
    scheduler::collect_dead();
    let scheduling = config.scheduling;
    debug_assert!(
        scheduling.priority() <= 99
            && matches!(
                scheduling.policy,
                Policy::Other
                    | Policy::Batch
                    | Policy::Idle
                    | Policy::Fifo(1..)
                    | Policy::RoundRobin(1..)
            )
    );
    scheduler::start(config)
}

/// Ends the current thread. Its kernel stack is freed once the CPU has left it.
///
/// # Panics
///
/// If preemption is forbidden, as by a lock that would stay locked.
pub fn exit_current() -> ! {
    let current = current();
    assert!(
        current.preempt_count() == 0,
        "ending while preemption is forbidden"
    );
    // The waiter refers to the thread, which refers to the waiter.
    drop(current.spare_waiter.lock().take());
    registry::remove(&current);
    current.has_exited.store(true, Ordering::Release);
    scheduler::exit(current)
}
