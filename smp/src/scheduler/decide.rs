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
    CpuId, CpuMask, CpuStats, SpinLock, Thread, ThreadRef,
    links::InQueue,
    machine,
    policy::EARLY_NS,
    prim::{AtomicU32, AtomicU64, Ordering},
    stats::Counter,
};

/// How many CPUs there are places for; a model makes each anew thousands of times.
#[cfg(not(loom))]
pub(crate) const CPU_SLOTS: usize = crate::MAX_CPUS;
#[cfg(loom)]
pub(crate) const CPU_SLOTS: usize = 3;

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
pub(super) struct Turn {
    pub(super) is_idle: bool,
    /// Its real-time priority.
    pub(super) priority: u8,
    pub(super) start_ns: u64,
    /// When its turn is over if somebody else waits for one.
    pub(super) end_ns: u64,
    /// When the timer is to interrupt it, `u64::MAX` for never.
    pub(super) due_ns: u64,
}

pub(super) struct Local {
    pub(super) queue: RunQueue,
    pub(super) turn: Turn,
    /// The CPU halts, or is about to: it looks at the queue again only after an interrupt.
    pub(super) is_halted: bool,
}

impl Local {
    /// Returns when the current thread has to make way for those who wait.
    pub(super) fn due_ns(&self) -> u64 {
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
    fn has_rival(&self, why: Leaving, has_used_turn: bool, now_ns: u64) -> bool {
        match self.queue.waiting() {
            Waiting::Nobody => false,
            Waiting::Realtime(priority) if why == Leaving::Yielded => {
                priority >= self.turn.priority
            }
            Waiting::Early if why == Leaving::Yielded => self.turn.priority == 0,
            Waiting::Turn if why == Leaving::Yielded => self.turn.priority == 0 && has_used_turn,
            _ => self.due_ns() <= now_ns,
        }
    }
}

pub(super) struct Cpu {
    pub(super) local: SpinLock<Local>,
    /// Threads that wait in the queue; written under its lock, read without.
    pub(super) queued: AtomicU32,
    pub(super) timers: SpinLock<TimerQueue>,
    /// When the current thread is due, as this CPU has last accepted it.
    pub(super) turn_timer_ns: PlainU64,
    /// The earliest of `timers`, or an earlier one that has been cancelled.
    pub(super) first_deadline_ns: PlainU64,
    /// What the machine's timer is set to.
    pub(super) timer_ns: PlainU64,
    pub(super) needs_resched: PlainBool,
    /// Runs another thread than its idle thread.
    pub(super) is_busy: PlainBool,
    /// Until when idle time has been accounted.
    pub(super) idle_since_ns: PlainU64,
    pub(super) counts: Counts,
}

pub(super) struct Counts {
    pub(super) context_switches: Counter,
    pub(super) preemptions: Counter,
    pub(super) steals: Counter,
    pub(super) pushes: Counter,
    pub(super) ipis_sent: Counter,
    pub(super) timer_interrupts: Counter,
    pub(super) idle_ns: Counter,
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
    pub(super) idle: CachePadded<AtomicU64>,
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

    pub(super) fn cpu(&self, cpu: CpuId) -> &Cpu {
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

    pub(super) fn refill(&self, thread: &Thread) {
        thread
            .slice_left_ns
            .store(thread.scheduling().slice_ns(), Ordering::Relaxed);
    }
}

/// What is left of a turn that is not worth a switch back: the timer's own inaccuracy.
const SLACK_NS: u64 = 50_000;

/// What `sched_yield` costs of a turn. A thread that yields lets those run that woke early, but not
/// all who wait for their next turn, before it has used its own up: CPython yields 40 times
/// before it sleeps for a lock, and would wait for 40 rounds of everybody's turns. The cost
/// sees to it that a thread that does nothing but yield uses little of the CPU.
const YIELD_COST_NS: u64 = 20_000;

impl Scheduler {
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
        self.charge(this, prev, why, now_ns);
        let has_used_turn = prev.slice_left_ns.load(Ordering::Relaxed) == 0;
        let may_stay = !prev.is_idle
            && matches!(why, Leaving::Preempted | Leaving::Yielded)
            && self.allowed(prev).contains(this);
        let mut local = cpu.local.lock();
        let next = loop {
            if may_stay && !local.has_rival(why, has_used_turn, now_ns) {
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
                } else if prev.slice_left_ns.load(Ordering::Relaxed) == 0 {
                    self.refill(&prev);
                    let target = self.balance(this, &prev);
                    self.put(this, target, prev, Place::Back);
                } else if why == Leaving::Yielded {
                    self.put(this, this, prev, Place::Early);
                } else {
                    self.put(this, this, prev, Place::Front);
                }
            }
        }
    }

    /// Accounts the time since the last `charge` or `begin_turn` to `prev`.
    fn charge(&self, this: CpuId, prev: &Thread, why: Leaving, now_ns: u64) {
        if prev.is_idle {
            let since_ns = self.cpu(this).idle_since_ns.swap(now_ns, Ordering::Relaxed);
            self.cpu(this)
                .counts
                .idle_ns
                .add(now_ns.saturating_sub(since_ns));
        } else {
            let ran_ns = prev.clock.stop(now_ns);
            let yield_ns = if why == Leaving::Yielded {
                YIELD_COST_NS
            } else {
                0
            };
            let left_ns = prev.slice_left_ns.load(Ordering::Relaxed);
            let left_ns = left_ns.saturating_sub(ran_ns + yield_ns);
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
        // Among equals the next one round, so that the odd thread visits them all.
        let distance = |cpu: CpuId| (cpu.0 + CPU_SLOTS as u32 - this.0) % CPU_SLOTS as u32;
        let other = others
            .iter()
            .min_by_key(|&cpu| (self.load(cpu), distance(cpu)));
        let Some(other) = other else { return this };
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
    pub(super) fn claim_idle_of(&self, cpu: CpuId) {
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
