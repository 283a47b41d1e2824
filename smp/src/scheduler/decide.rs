//! The scheduler proper: which thread runs on which CPU, decided without touching any context.
//!
//! A switch has three parts. [`Scheduler::pick`] chooses on the old thread's stack; the machine
//! switches; [`Scheduler::finish`] runs on the new thread's stack and only then gives the old
//! thread away, to a queue or to whoever wakes it. So a thread that can be found by another CPU
//! never has an unsaved context.
//!
//! One strong reference of each living thread belongs to the scheduler: the run queue holds it
//! while the thread is ready, the CPU while it runs, and the state `PARKED` while it sleeps.
//!
//! All functions run with interrupts off on CPU `cpu`, unless they say otherwise.

#![forbid(unsafe_code)]

// These are not raced for: each CPU writes its own, others read for a guess.
use core::{
    mem::ManuallyDrop,
    sync::atomic::{AtomicBool as PlainBool, AtomicU64 as PlainU64},
};

use crossbeam_utils::CachePadded;
use intrusive_collections::LinkedList;

use super::{
    run_queue::{Place, RunQueue, Waiting},
    timer_queue::TimerQueue,
};
use crate::{
    CpuId, CpuMask, CpuStats, Ipi, SpinLock, Thread, ThreadRef,
    links::InQueue,
    machine,
    policy::EARLY_NS,
    prim::{AtomicU32, AtomicU64, Ordering, fence},
    stats::Counter,
};

/// How many CPUs there are places for; a model makes each anew thousands of times.
#[cfg(not(loom))]
pub(crate) const CPU_SLOTS: usize = crate::MAX_CPUS;
#[cfg(loom)]
pub(crate) const CPU_SLOTS: usize = 2;

/// Why a thread leaves its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Its turn is over, or somebody more urgent is ready, or it must not stay on this CPU.
    Preempted,
    /// It asked to.
    Yielded,
    /// It sleeps.
    Parking,
    /// It has ended.
    Exiting,
}

/// What [`Scheduler::pick`] decided.
#[derive(Debug)]
pub(crate) enum Next {
    /// The caller goes on.
    Stay,
    /// The CPU switches to this thread.
    Thread(ThreadRef),
    /// The CPU switches to its idle thread.
    Idle,
}

/// The stay of the current thread on its CPU.
#[derive(Debug)]
struct Turn {
    is_idle: bool,
    /// Its real-time priority.
    priority: u8,
    start_ns: u64,
    /// When its turn is over if somebody else waits for one.
    end_ns: u64,
    /// When the timer is to interrupt it, `u64::MAX` for never.
    due_ns: u64,
}

struct Local {
    queue: RunQueue,
    turn: Turn,
    /// The CPU halts, or is about to: it looks at the queue again only after an interrupt.
    is_halted: bool,
}

impl Local {
    /// Returns when the current thread has to make way for those who wait.
    fn due_ns(&self) -> u64 {
        if self.turn.is_idle {
            return u64::MAX;
        }
        match self.queue.waiting() {
            Waiting::Nobody => u64::MAX,
            Waiting::Realtime(priority) if priority > self.turn.priority => 0,
            Waiting::Realtime(priority) if priority == self.turn.priority => self.turn.end_ns,
            _ if self.turn.priority > 0 => u64::MAX,
            Waiting::Realtime(_) => 0,
            Waiting::Early => self
                .turn
                .end_ns
                .min(self.turn.start_ns.saturating_add(EARLY_NS)),
            Waiting::Turn => self.turn.end_ns,
        }
    }
}

impl Local {
    /// Says whether somebody who waits comes before the current thread, which is ready.
    fn has_rival(&self, why: Leaving, now_ns: u64) -> bool {
        match self.queue.waiting() {
            Waiting::Nobody => false,
            Waiting::Realtime(priority) if why == Leaving::Yielded => {
                priority >= self.turn.priority
            }
            _ if why == Leaving::Yielded => self.turn.priority == 0,
            _ => self.due_ns() <= now_ns,
        }
    }
}

struct Cpu {
    local: SpinLock<Local>,
    /// Threads that wait in the queue; written under its lock, read without.
    queued: AtomicU32,
    timers: SpinLock<TimerQueue>,
    /// When the current thread is due, as this CPU has last accepted it.
    turn_timer_ns: PlainU64,
    /// The earliest of `timers`, or an earlier one that has been cancelled.
    first_deadline_ns: PlainU64,
    /// What the machine's timer is set to.
    timer_ns: PlainU64,
    needs_resched: PlainBool,
    /// Runs another thread than its idle thread.
    is_busy: PlainBool,
    /// Until when idle time has been accounted.
    idle_since_ns: PlainU64,
    counts: Counts,
}

struct Counts {
    context_switches: Counter,
    preemptions: Counter,
    steals: Counter,
    pushes: Counter,
    ipis_sent: Counter,
    timer_interrupts: Counter,
    idle_ns: Counter,
}

macro_rules! cpu {
    () => {
        Cpu {
            local: SpinLock::new(Local {
                queue: RunQueue::new(),
                turn: Turn {
                    is_idle: true,
                    priority: 0,
                    start_ns: 0,
                    end_ns: 0,
                    due_ns: u64::MAX,
                },
                is_halted: false,
            }),
            queued: AtomicU32::new(0),
            timers: SpinLock::new(TimerQueue::new()),
            turn_timer_ns: PlainU64::new(u64::MAX),
            first_deadline_ns: PlainU64::new(u64::MAX),
            timer_ns: PlainU64::new(u64::MAX),
            needs_resched: PlainBool::new(false),
            is_busy: PlainBool::new(false),
            idle_since_ns: PlainU64::new(0),
            counts: Counts {
                context_switches: Counter::new(),
                preemptions: Counter::new(),
                steals: Counter::new(),
                pushes: Counter::new(),
                ipis_sent: Counter::new(),
                timer_interrupts: Counter::new(),
                idle_ns: Counter::new(),
            },
        }
    };
}

pub(crate) struct Scheduler {
    cpus: [CachePadded<Cpu>; CPU_SLOTS],
    online: CachePadded<PlainU64>,
    /// CPUs without anything to do. A waker that gives one a thread clears its bit, so that
    /// the next waker chooses another.
    idle: CachePadded<AtomicU64>,
    /// Threads that have ended and left their stacks.
    dead: SpinLock<LinkedList<InQueue>>,
    has_dead: PlainBool,
}

impl Scheduler {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self {
            cpus: [const { CachePadded::new(cpu!()) }; CPU_SLOTS],
            online: CachePadded::new(PlainU64::new(0)),
            idle: CachePadded::new(AtomicU64::new(0)),
            dead: SpinLock::new(LinkedList::new(InQueue::NEW)),
            has_dead: PlainBool::new(false),
        }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self {
            cpus: core::array::from_fn(|_| CachePadded::new(cpu!())),
            online: CachePadded::new(PlainU64::new(0)),
            idle: CachePadded::new(AtomicU64::new(0)),
            dead: SpinLock::new(LinkedList::new(InQueue::NEW)),
            has_dead: PlainBool::new(false),
        }
    }

    fn cpu(&self, cpu: CpuId) -> &Cpu {
        &self.cpus[cpu.index()]
    }

    /// Lets threads be put on `cpu`, which runs its idle thread.
    pub(crate) fn set_online(&self, cpu: CpuId) {
        self.cpu(cpu)
            .idle_since_ns
            .store(machine::now_ns(), Ordering::Relaxed);
        self.online
            .fetch_or(CpuMask::only(cpu).bits(), Ordering::SeqCst);
    }

    pub(crate) fn online(&self) -> CpuMask {
        CpuMask::from_bits(self.online.load(Ordering::Relaxed))
    }

    // --- Waking ---

    /// Puts a thread that was woken, or is new, on a run queue and sees to it that a CPU looks.
    pub(crate) fn wake(&self, this: CpuId, thread: ThreadRef) {
        let scheduling = thread.scheduling();
        let has_credit = thread.slice_left_ns.load(Ordering::Relaxed) > 0;
        let place = if has_credit && scheduling.wakes_early() {
            Place::Early
        } else {
            self.refill(&thread);
            Place::Back
        };
        self.place(this, thread, place);
    }

    /// Puts a thread on the run queue of the CPU that suits it.
    fn place(&self, this: CpuId, thread: ThreadRef, place: Place) {
        let allowed = self.allowed(&thread);
        let (target, is_idle) = self.choose(this, &thread, allowed);
        self.put(this, target, thread, place);
        if !is_idle {
            self.call_idle(this, allowed);
        }
    }

    /// Returns the online CPUs that `thread` may use, all if it may use none of them.
    fn allowed(&self, thread: &Thread) -> CpuMask {
        let allowed = thread.affinity().and(self.online());
        if allowed.is_empty() {
            self.online()
        } else {
            allowed
        }
    }

    /// Chooses a CPU and says whether it is an idle one, which is then claimed for this thread;
    /// else it is the less busy of the one it last ran on and this one.
    fn choose(&self, this: CpuId, thread: &Thread, allowed: CpuMask) -> (CpuId, bool) {
        let last = thread.last_cpu();
        loop {
            let idle = CpuMask::from_bits(self.idle.load(Ordering::Relaxed)).and(allowed);
            // This CPU needs no IPI; the last one has a warm cache.
            let found = [this, last]
                .into_iter()
                .find(|&cpu| idle.contains(cpu))
                .or_else(|| idle.lowest());
            let Some(cpu) = found else { break };
            if self.claim_idle(cpu) {
                return (cpu, true);
            }
        }
        let mut best = if allowed.contains(last) {
            last
        } else {
            allowed
                .lowest()
                .expect("a CPU is online, the one that runs this")
        };
        if allowed.contains(this) && self.load(this) < self.load(best) {
            best = this;
        }
        (best, false)
    }

    /// Takes an idle CPU for one piece of work; false if another waker was first.
    fn claim_idle(&self, cpu: CpuId) -> bool {
        let bit = CpuMask::only(cpu).bits();
        self.idle.fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }

    /// Returns how many threads are on a CPU, waiting or running.
    fn load(&self, cpu: CpuId) -> u32 {
        let cpu = self.cpu(cpu);
        cpu.queued.load(Ordering::Relaxed) + u32::from(cpu.is_busy.load(Ordering::Relaxed))
    }

    /// Adds a thread to the queue of `target`, and interrupts that CPU if it must know now.
    fn put(&self, this: CpuId, target: CpuId, thread: ThreadRef, place: Place) {
        let cpu = self.cpu(target);
        let mut local = cpu.local.lock();
        local.queue.push(thread, place);
        // Relaxed is enough: who must not miss it either takes the lock or passes the fence in `call_idle`.
        cpu.queued
            .store(local.queue.len() as u32, Ordering::Relaxed);
        let due_ns = local.due_ns();
        let is_due_earlier = due_ns < local.turn.due_ns;
        if is_due_earlier {
            local.turn.due_ns = due_ns;
        }
        // Under the lock: the CPU has either seen the thread before it decided to halt,
        // or has told us so.
        let was_halted = core::mem::replace(&mut local.is_halted, false);
        drop(local);
        if target == this {
            if is_due_earlier {
                self.accept_due(this, due_ns);
            }
        } else if was_halted || is_due_earlier {
            self.send_ipi(this, target, Ipi::Reschedule);
        }
    }

    /// A thread waits on a CPU that is not idle: if another CPU is, has it come and steal.
    /// `choose` saw none a moment ago, but one that has gone idle since may have looked at the queue
    /// before the thread was in it.
    fn call_idle(&self, this: CpuId, allowed: CpuMask) {
        // Pairs with the fence in `announce_idle`: either we see its bit, or it sees our `queued`.
        fence(Ordering::SeqCst);
        let idle = CpuMask::from_bits(self.idle.load(Ordering::Relaxed))
            .and(allowed)
            .without(this);
        let Some(cpu) = idle.lowest() else { return };
        // If it has not decided to halt yet, it finds its bit gone when it does, and looks again.
        if self.claim_idle(cpu) && self.end_halt(cpu) {
            self.send_ipi(this, cpu, Ipi::Reschedule);
        }
    }

    /// Says whether `cpu` halts, and notes that it does not any more.
    fn end_halt(&self, cpu: CpuId) -> bool {
        core::mem::replace(&mut self.cpu(cpu).local.lock().is_halted, false)
    }

    pub(crate) fn send_ipi(&self, this: CpuId, target: CpuId, ipi: Ipi) {
        self.cpu(this).counts.ipis_sent.add(1);
        machine::send_ipi(target, ipi);
    }

    fn refill(&self, thread: &Thread) {
        thread
            .slice_left_ns
            .store(thread.scheduling().slice_ns(), Ordering::Relaxed);
    }
}

/// What is left of a turn that is not worth a switch back: the timer's own inaccuracy.
const SLACK_NS: u64 = 50_000;

impl Scheduler {
    // --- Switching ---

    /// Chooses what runs after `prev`, the current thread, and begins its turn. Unless that is
    /// `Stay`, the caller switches to it and calls [`Scheduler::finish`] there.
    pub(crate) fn pick(&self, this: CpuId, prev: &Thread, why: Leaving) -> Next {
        let cpu = self.cpu(this);
        cpu.needs_resched.store(false, Ordering::SeqCst);
        if why == Leaving::Parking && prev.park.has_permit() {
            // Woken already; `commit` would find out after two switches.
            return Next::Stay;
        }
        let now_ns = machine::now_ns();
        self.charge(this, prev, now_ns);
        let may_stay = !prev.is_idle
            && matches!(why, Leaving::Preempted | Leaving::Yielded)
            && self.allowed(prev).contains(this);
        let mut local = cpu.local.lock();
        let next = loop {
            if may_stay && !local.has_rival(why, now_ns) {
                break None;
            }
            let Some(next) = local.queue.pop() else {
                break None;
            };
            cpu.queued
                .store(local.queue.len() as u32, Ordering::Relaxed);
            if self.allowed(&next).contains(this) {
                break Some(next);
            }
            // Its affinity has changed since it was queued.
            drop(local);
            self.place(this, next, Place::Front);
            local = cpu.local.lock();
        };
        let next = match next {
            Some(next) => Some(next),
            None if may_stay => {
                let due_ns = self.begin_turn(&mut local, prev, now_ns);
                drop(local);
                self.accept_due(this, due_ns);
                return Next::Stay;
            }
            None => {
                // Never two queues at once.
                drop(local);
                let stolen = self.steal(this);
                local = cpu.local.lock();
                stolen
            }
        };
        let Some(next) = next else {
            local.turn.is_idle = true;
            local.turn.due_ns = u64::MAX;
            drop(local);
            cpu.is_busy.store(false, Ordering::Relaxed);
            cpu.idle_since_ns.store(now_ns, Ordering::Relaxed);
            self.accept_due(this, u64::MAX);
            return if prev.is_idle {
                Next::Stay
            } else {
                self.count_switch(this, prev.is_idle, why, Next::Idle)
            };
        };
        let due_ns = self.begin_turn(&mut local, &next, now_ns);
        drop(local);
        cpu.is_busy.store(true, Ordering::Relaxed);
        next.cpu.store(this.0, Ordering::Relaxed);
        if prev.is_idle {
            self.claim_idle_of(this);
        }
        self.accept_due(this, due_ns);
        self.count_switch(this, prev.is_idle, why, Next::Thread(next))
    }

    /// Gives `prev` away, now that its context is saved. Called by what runs after it.
    pub(crate) fn finish(&self, this: CpuId, prev: ThreadRef, why: Leaving) {
        match why {
            Leaving::Exiting => {
                (prev.on_reap)(&prev);
                let mut dead = self.dead.lock();
                dead.push_back(prev);
                self.has_dead.store(true, Ordering::Relaxed);
            }
            Leaving::Parking => {
                add(&prev.voluntary_switches);
                // Once `commit` succeeds, a waker owns the reference.
                let prev = ManuallyDrop::new(prev);
                if !prev.park.commit() {
                    self.wake(this, ManuallyDrop::into_inner(prev));
                }
            }
            Leaving::Preempted | Leaving::Yielded => {
                let counter = if why == Leaving::Yielded {
                    &prev.voluntary_switches
                } else {
                    &prev.involuntary_switches
                };
                add(counter);
                if !self.allowed(&prev).contains(this) {
                    self.place(this, prev, Place::Front);
                } else if why == Leaving::Yielded || prev.slice_left_ns.load(Ordering::Relaxed) == 0
                {
                    self.refill(&prev);
                    let target = self.balance(this, &prev);
                    self.put(this, target, prev, Place::Back);
                } else {
                    self.put(this, this, prev, Place::Front);
                }
            }
        }
    }

    /// Accounts the time since the last `charge` or `begin_turn` to `prev`.
    fn charge(&self, this: CpuId, prev: &Thread, now_ns: u64) {
        if prev.is_idle {
            let since_ns = self.cpu(this).idle_since_ns.swap(now_ns, Ordering::Relaxed);
            self.cpu(this)
                .counts
                .idle_ns
                .add(now_ns.saturating_sub(since_ns));
        } else {
            let ran_ns = prev.clock.stop(now_ns);
            let left_ns = prev
                .slice_left_ns
                .load(Ordering::Relaxed)
                .saturating_sub(ran_ns);
            let left_ns = if left_ns < SLACK_NS { 0 } else { left_ns };
            prev.slice_left_ns.store(left_ns, Ordering::Relaxed);
        }
    }

    /// Begins the turn of `thread` and returns when it is due.
    fn begin_turn(&self, local: &mut Local, thread: &Thread, now_ns: u64) -> u64 {
        if thread.slice_left_ns.load(Ordering::Relaxed) == 0 {
            self.refill(thread);
        }
        let slice_ns = thread.slice_left_ns.load(Ordering::Relaxed);
        thread.clock.start(now_ns);
        local.turn = Turn {
            is_idle: false,
            priority: thread.scheduling().priority(),
            start_ns: now_ns,
            end_ns: now_ns.saturating_add(slice_ns),
            due_ns: 0,
        };
        local.turn.due_ns = local.due_ns();
        local.turn.due_ns
    }

    fn count_switch(&self, this: CpuId, is_idle: bool, why: Leaving, next: Next) -> Next {
        let counts = &self.cpu(this).counts;
        counts.context_switches.add(1);
        if why == Leaving::Preempted && !is_idle {
            counts.preemptions.add(1);
        }
        next
    }

    /// Takes a thread from the CPU where most wait.
    fn steal(&self, this: CpuId) -> Option<ThreadRef> {
        let queued = |cpu: CpuId| self.cpu(cpu).queued.load(Ordering::Relaxed);
        let others = || self.online().without(this).iter();
        let longest = others().max_by_key(|&cpu| queued(cpu))?;
        for cpu in core::iter::once(longest).chain(others()) {
            if queued(cpu) == 0 {
                continue;
            }
            let mut local = self.cpu(cpu).local.lock();
            let stolen = local.queue.steal_for(this);
            self.cpu(cpu)
                .queued
                .store(local.queue.len() as u32, Ordering::Relaxed);
            drop(local);
            if stolen.is_some() {
                self.cpu(this).counts.steals.add(1);
                return stolen;
            }
        }
        None
    }

    /// Chooses where `prev`, whose turn is over, waits for its next one.
    ///
    /// Where one CPU has two threads more than another, one moves. Where it has one more, as
    /// with three threads on two CPUs, the threads take turns in being the odd one:
    /// each that ends its turn goes over, so all get the same share.
    fn balance(&self, this: CpuId, prev: &Thread) -> CpuId {
        if prev.scheduling().priority() > 0 {
            return this;
        }
        let load_here = self.load(this) + 1;
        let others = self.allowed(prev).without(this);
        let Some(other) = others.iter().min_by_key(|&cpu| self.load(cpu)) else {
            return this;
        };
        let load_there = self.load(other);
        if load_there + 1 < load_here || load_there > 0 && load_there + 1 == load_here {
            self.claim_idle_of(other);
            self.cpu(this).counts.pushes.add(1);
            other
        } else {
            this
        }
    }

    /// Takes `cpu` out of the idle set if it is in it.
    fn claim_idle_of(&self, cpu: CpuId) {
        if CpuMask::from_bits(self.idle.load(Ordering::Relaxed)).contains(cpu) {
            self.claim_idle(cpu);
        }
    }

    /// Takes a thread that has ended, for its references to be dropped with interrupts on.
    pub(crate) fn take_dead(&self) -> Option<ThreadRef> {
        let mut dead = self.dead.lock();
        self.has_dead.store(!dead.is_empty(), Ordering::Relaxed);
        dead.pop_front()
    }

    /// Says whether `take_dead` is worth calling.
    #[inline]
    pub(crate) fn has_dead(&self) -> bool {
        self.has_dead.load(Ordering::Relaxed)
    }

    /// Says whether the current thread of this CPU is to make way.
    #[inline]
    pub(crate) fn needs_resched(&self, this: CpuId) -> bool {
        self.cpu(this).needs_resched.load(Ordering::Relaxed)
    }

    /// Says whether threads wait for this CPU.
    #[inline]
    pub(crate) fn has_queued(&self, this: CpuId) -> bool {
        self.cpu(this).queued.load(Ordering::Relaxed) > 0
    }

    // --- Idling ---

    /// Tells wakers that this CPU has nothing to do. Before it halts it looks for work
    /// once more, by [`Scheduler::pick`], then asks [`Scheduler::begin_halt`].
    pub(crate) fn announce_idle(&self, this: CpuId) {
        self.idle
            .fetch_or(CpuMask::only(this).bits(), Ordering::SeqCst);
        // Pairs with the fence in `call_idle`.
        fence(Ordering::SeqCst);
    }

    /// Says whether a waker has claimed this CPU since `announce_idle`.
    pub(crate) fn is_claimed(&self, this: CpuId) -> bool {
        !CpuMask::from_bits(self.idle.load(Ordering::Relaxed)).contains(this)
    }

    /// Says whether this CPU may halt; from now on wakers send it an IPI, which an atomic
    /// enable-and-halt does not miss.
    pub(crate) fn begin_halt(&self, this: CpuId) -> bool {
        let mut local = self.cpu(this).local.lock();
        local.is_halted = local.queue.len() == 0 && !self.is_claimed(this);
        local.is_halted
    }

    /// Ends what `begin_halt` began.
    pub(crate) fn after_halt(&self, this: CpuId) {
        self.end_halt(this);
    }

    // --- Time ---

    /// Handles the timer interrupt of this CPU.
    pub(crate) fn on_timer(&self, this: CpuId) {
        let cpu = self.cpu(this);
        cpu.counts.timer_interrupts.add(1);
        cpu.timer_ns.store(u64::MAX, Ordering::Relaxed);
        let now_ns = machine::now_ns();
        loop {
            let mut timers = cpu.timers.lock();
            let Some(thread) = timers.pop_expired(now_ns) else {
                cpu.first_deadline_ns
                    .store(timers.first_ns(), Ordering::Relaxed);
                break;
            };
            drop(timers);
            thread.unpark();
        }
        self.look_at_turn(this);
        self.program_timer(this);
    }

    /// Has the current thread make way if it is due, now or by timer.
    pub(crate) fn look_at_turn(&self, this: CpuId) {
        let mut local = self.cpu(this).local.lock();
        local.turn.due_ns = local.due_ns();
        let due_ns = local.turn.due_ns;
        drop(local);
        if due_ns <= machine::now_ns() {
            self.cpu(this)
                .turn_timer_ns
                .store(u64::MAX, Ordering::Relaxed);
            self.cpu(this).needs_resched.store(true, Ordering::Relaxed);
        } else {
            self.accept_due(this, due_ns);
        }
    }

    /// Has the current thread of `cpu`, another one, look at its affinity.
    pub(crate) fn request_resched(&self, this: CpuId, cpu: CpuId) {
        self.cpu(cpu).needs_resched.store(true, Ordering::SeqCst);
        self.send_ipi(this, cpu, Ipi::Reschedule);
    }

    /// Notes when the current thread is due. If that has passed, the timer interrupts at once
    /// and its handler sees to it.
    fn accept_due(&self, this: CpuId, due_ns: u64) {
        self.cpu(this)
            .turn_timer_ns
            .store(due_ns, Ordering::Relaxed);
        self.program_timer(this);
    }

    fn next_timer_ns(&self, this: CpuId) -> u64 {
        let cpu = self.cpu(this);
        let turn_ns = cpu.turn_timer_ns.load(Ordering::Relaxed);
        turn_ns.min(cpu.first_deadline_ns.load(Ordering::Relaxed))
    }

    /// Sets the machine's timer if it would come too late. One that comes too early is left
    /// alone: the next one will often be earlier again, and setting it costs more than it saves.
    fn program_timer(&self, this: CpuId) {
        let (cpu, next_ns) = (self.cpu(this), self.next_timer_ns(this));
        if next_ns < cpu.timer_ns.load(Ordering::Relaxed) {
            cpu.timer_ns.store(next_ns, Ordering::Relaxed);
            machine::set_timer(next_ns);
        }
    }

    /// Sets the machine's timer to what is really needed, before the CPU halts.
    pub(crate) fn program_timer_exactly(&self, this: CpuId) {
        let (cpu, next_ns) = (self.cpu(this), self.next_timer_ns(this));
        if next_ns != cpu.timer_ns.load(Ordering::Relaxed) {
            cpu.timer_ns.store(next_ns, Ordering::Relaxed);
            machine::set_timer(next_ns);
        }
    }

    /// Has `thread`, the current one, unparked at `deadline_ns`.
    pub(crate) fn set_deadline(&self, this: CpuId, thread: ThreadRef, deadline_ns: u64) {
        let cpu = self.cpu(this);
        thread.timer.set(deadline_ns, this);
        let mut timers = cpu.timers.lock();
        timers.insert(thread);
        cpu.first_deadline_ns
            .store(timers.first_ns(), Ordering::Relaxed);
        drop(timers);
        self.program_timer(this);
    }

    /// Ends what `set_deadline` began, on any CPU; says whether the deadline has passed.
    pub(crate) fn clear_deadline(&self, thread: &Thread) -> bool {
        let cpu = self.cpu(thread.timer.cpu());
        let mut timers = cpu.timers.lock();
        let removed = timers.remove(thread);
        // Only the CPU itself sets its timer; a needless interrupt is all that can come of it.
        cpu.first_deadline_ns
            .store(timers.first_ns(), Ordering::Relaxed);
        drop(timers);
        removed.is_none()
    }

    pub(crate) fn stats(&self, cpu: CpuId) -> CpuStats {
        let is_online = self.online().contains(cpu);
        let Some(cpu) = self.cpus.get(cpu.index()) else {
            return CpuStats::default();
        };
        let counts = &cpu.counts;
        let idle_since_ns = cpu.idle_since_ns.load(Ordering::Relaxed);
        let current_idle_ns = if is_online && !cpu.is_busy.load(Ordering::Relaxed) {
            machine::now_ns().saturating_sub(idle_since_ns)
        } else {
            0
        };
        CpuStats {
            context_switches: counts.context_switches.get(),
            preemptions: counts.preemptions.get(),
            steals: counts.steals.get(),
            pushes: counts.pushes.get(),
            ipis_sent: counts.ipis_sent.get(),
            timer_interrupts: counts.timer_interrupts.get(),
            shootdowns: 0,
            idle_ns: counts.idle_ns.get() + current_idle_ns,
            queued: cpu.queued.load(Ordering::Relaxed) as usize,
        }
    }
}

/// Adds to a count that only the CPU of its thread writes.
fn add(counter: &PlainU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
