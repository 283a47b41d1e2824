//! Whole machines in virtual time: is the scheduler fair, prompt, and never idle beside work?
//!
//! The scheduler is the one that ships; simulated are the CPUs, their timers, IPIs and clock, and
//! threads that do nothing but use time and sleep.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use std::sync::Mutex;

use proptest::prelude::*;

use super::decide::{Leaving, Next, Scheduler};
use crate::{
    CpuId, CpuMask, Ipi, Policy, Scheduling, Thread, ThreadConfig, ThreadRef,
    fake::HostThread,
    machine::{self, Simulated},
};

const STEP_NS: u64 = 10_000;
const MS: u64 = 1_000_000;

struct Hardware {
    now_ns: u64,
    this: CpuId,
    timers_ns: Vec<u64>,
    has_ipi: Vec<bool>,
    /// Woken threads, for the loop below to put on run queues: it owns the scheduler.
    woken: VecDeque<ThreadRef>,
}

#[derive(Clone)]
struct Machine(Arc<Mutex<Hardware>>);

impl Machine {
    fn hardware(&self) -> std::sync::MutexGuard<'_, Hardware> {
        self.0.lock().expect("no holder panics")
    }
}

impl Simulated for Machine {
    fn this_cpu(&self) -> CpuId {
        self.hardware().this
    }

    fn now_ns(&self) -> u64 {
        self.hardware().now_ns
    }

    fn set_timer(&self, deadline_ns: u64) {
        let mut hardware = self.hardware();
        let this = hardware.this.index();
        hardware.timers_ns[this] = deadline_ns;
    }

    fn send_ipi(&self, target: CpuId, _: Ipi) {
        self.hardware().has_ipi[target.index()] = true;
    }

    fn flush_tlb(&self, _: usize, _: usize) {}

    fn wake(&self, thread: ThreadRef) {
        self.hardware().woken.push_back(thread);
    }
}

/// What a simulated thread does, over and over.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Run,
    /// Runs, then sleeps, for so many nanoseconds each.
    RunAndSleep(u64, u64),
    /// Runs, then wakes the thread of that index and sleeps until woken.
    RunAndWake(u64, usize),
    /// As `RunAndSleep`, but yields 40 times before it sleeps.
    RunYieldSleep(u64, u64),
    /// Does nothing but yield.
    Yield,
}

struct Actor {
    thread: ThreadRef,
    habit: Habit,
    left_ns: u64,
    has_deadline: bool,
    yields: u32,
    ready_since_ns: Option<u64>,
    worst_wait_ns: u64,
}

struct World {
    scheduler: Scheduler,
    machine: Machine,
    idle: Vec<ThreadRef>,
    /// The index of the running actor.
    running: Vec<Option<usize>>,
    is_halted: Vec<bool>,
    actors: Vec<Actor>,
    /// CPU time spent idle while a thread that could have run there waited elsewhere.
    wasted_ns: u64,
}

extern "C" fn never_called(_: usize) -> ! {
    unreachable!("simulated threads have no code")
}

impl World {
    fn new(cpus: usize) -> Self {
        let machine = Machine(Arc::new(Mutex::new(Hardware {
            now_ns: MS,
            this: CpuId(0),
            timers_ns: vec![u64::MAX; cpus],
            has_ipi: vec![false; cpus],
            woken: VecDeque::new(),
        })));
        machine::simulate(Arc::new(machine.clone()));
        let scheduler = Scheduler::new();
        let idle = (0..cpus)
            .map(|cpu| {
                scheduler.set_online(CpuId(cpu as u32));
                let config = ThreadConfig::new("idle", never_called, 0, 0);
                Thread::new(config, 0, true, HostThread::Simulated)
            })
            .collect();
        Self {
            scheduler,
            machine,
            idle,
            running: vec![None; cpus],
            is_halted: vec![false; cpus],
            actors: Vec::new(),
            wasted_ns: 0,
        }
    }

    fn start(&mut self, habit: Habit, scheduling: Scheduling, affinity: CpuMask) -> usize {
        let mut config = ThreadConfig::new("actor", never_called, 0, 0);
        config.scheduling = scheduling;
        config.affinity = affinity;
        let index = self.actors.len();
        let thread = Thread::new(config, index as u32 + 1, false, HostThread::Simulated);
        let left_ns = match habit {
            Habit::Run => u64::MAX,
            Habit::Yield => 0,
            Habit::RunAndSleep(left_ns, _)
            | Habit::RunYieldSleep(left_ns, _)
            | Habit::RunAndWake(left_ns, _) => left_ns,
        };
        self.enter(thread, habit, left_ns)
    }

    fn enter(&mut self, thread: ThreadRef, habit: Habit, left_ns: u64) -> usize {
        self.scheduler
            .start(self.machine.this_cpu(), thread.clone());
        self.actors.push(Actor {
            thread,
            habit,
            left_ns,
            has_deadline: false,
            yields: 0,
            ready_since_ns: Some(self.machine.now_ns()),
            worst_wait_ns: 0,
        });
        self.actors.len() - 1
    }

    fn hogs(&mut self, count: usize) {
        for _ in 0..count {
            self.start(Habit::Run, Scheduling::default(), CpuMask::ALL);
        }
    }

    fn switch(&mut self, cpu: usize, why: Leaving) {
        let this = CpuId(cpu as u32);
        let prev = match self.running[cpu] {
            Some(index) => self.actors[index].thread.clone(),
            None => self.idle[cpu].clone(),
        };
        let next = match self.scheduler.pick(this, &prev, why) {
            Next::Stay => return,
            Next::Idle => None,
            Next::Thread(thread) => Some(thread),
        };
        self.running[cpu] = next.map(|thread| {
            let index = thread.tid() as usize - 1;
            let now_ns = self.machine.now_ns();
            let actor = &mut self.actors[index];
            if let Some(since_ns) = actor.ready_since_ns.take() {
                actor.worst_wait_ns = actor.worst_wait_ns.max(now_ns - since_ns);
            }
            // What the CPU holds while it runs the thread, and gives to `finish`.
            core::mem::forget(thread);
            index
        });
        if !prev.is_idle() {
            // The clone stands for the reference that the CPU held; the forgotten one is it.
            let held = prev.clone();
            drop(prev);
            // SAFETY: `forget` above left one count for this thread.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&held)) };
            self.scheduler.finish(this, held, why);
        }
        self.wake_woken();
    }

    fn wake_woken(&mut self) {
        loop {
            let woken = self.machine.hardware().woken.pop_front();
            let Some(thread) = woken else { return };
            self.actors[thread.tid() as usize - 1].ready_since_ns = Some(self.machine.now_ns());
            self.scheduler.wake(self.machine.this_cpu(), thread);
        }
    }

    fn step(&mut self) {
        self.machine.hardware().now_ns += STEP_NS;
        let now_ns = self.machine.now_ns();
        for cpu in 0..self.running.len() {
            let this = CpuId(cpu as u32);
            self.machine.hardware().this = this;
            let (has_ipi, has_timer) = {
                let mut hardware = self.machine.hardware();
                let has_timer = hardware.timers_ns[cpu] <= now_ns;
                if has_timer {
                    hardware.timers_ns[cpu] = u64::MAX;
                }
                (core::mem::take(&mut hardware.has_ipi[cpu]), has_timer)
            };
            if has_timer {
                self.scheduler.on_timer(this);
                self.wake_woken();
            }
            if has_ipi {
                self.scheduler.look_at_turn(this);
            }
            if self.is_halted[cpu] && (has_ipi || has_timer) {
                self.scheduler.after_halt(this);
                self.is_halted[cpu] = false;
            }
            if self.running[cpu].is_some() && self.scheduler.needs_resched(this) {
                self.switch(cpu, Leaving::Preempted);
            }
            if self.running[cpu].is_none() && !self.is_halted[cpu] {
                self.scheduler.announce_idle(this);
                self.switch(cpu, Leaving::Preempted);
                if self.running[cpu].is_none() && self.scheduler.begin_halt(this) {
                    self.scheduler.program_timer_exactly(this);
                    self.is_halted[cpu] = true;
                }
            }
            self.act(cpu, now_ns);
        }
        self.count_waste();
    }

    fn act(&mut self, cpu: usize, now_ns: u64) {
        let Some(index) = self.running[cpu] else {
            return;
        };
        let this = CpuId(cpu as u32);
        let actor = &mut self.actors[index];
        if core::mem::take(&mut actor.has_deadline) {
            actor.thread.park.take_permit();
            self.scheduler.clear_deadline(&actor.thread);
        }
        actor.left_ns = actor.left_ns.saturating_sub(STEP_NS);
        if actor.left_ns > 0 {
            return;
        }
        match actor.habit {
            Habit::Run => actor.left_ns = u64::MAX,
            Habit::Yield => self.switch(cpu, Leaving::Yielded),
            Habit::RunYieldSleep(..) if actor.yields < 40 => {
                actor.yields += 1;
                self.switch(cpu, Leaving::Yielded);
            }
            Habit::RunAndSleep(run_ns, sleep_ns) | Habit::RunYieldSleep(run_ns, sleep_ns) => {
                actor.yields = 0;
                actor.left_ns = run_ns;
                actor.has_deadline = true;
                self.scheduler
                    .set_deadline(this, actor.thread.clone(), now_ns + sleep_ns);
                self.switch(cpu, Leaving::Parking);
            }
            Habit::RunAndWake(run_ns, other) => {
                actor.left_ns = run_ns;
                let thread = actor.thread.clone();
                self.actors[other].thread.unpark();
                self.wake_woken();
                if !thread.park.take_permit() {
                    self.switch(cpu, Leaving::Parking);
                }
                thread.park.take_permit();
            }
        }
    }

    fn count_waste(&mut self) {
        for (cpu, running) in self.running.iter().enumerate() {
            let waits = |index: &usize| {
                let thread = &self.actors[*index].thread;
                !self.running.contains(&Some(*index))
                    && !thread.park.is_parked()
                    && thread.affinity().contains(CpuId(cpu as u32))
            };
            if running.is_none() && (0..self.actors.len()).any(|index| waits(&index)) {
                self.wasted_ns += STEP_NS;
            }
        }
    }

    fn run_for(&mut self, duration_ns: u64) {
        for _ in 0..duration_ns / STEP_NS {
            self.step();
        }
    }

    fn cpu_times_ns(&self) -> Vec<u64> {
        self.actors
            .iter()
            .map(|actor| actor.thread.cpu_time_ns())
            .collect()
    }

    /// Returns the most that any actor got, in percent of the least.
    fn unfairness(&self) -> u64 {
        let times = self.cpu_times_ns();
        let (most, least) = (times.iter().max(), times.iter().min());
        most.expect("there are actors") * 100 / least.expect("there are actors").max(&1)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Who is left in a timer queue is referred to by it.
        for actor in &self.actors {
            if actor.has_deadline {
                self.scheduler.clear_deadline(&actor.thread);
            }
        }
    }
}

#[test]
fn sixteen_hogs_share_two_cpus() {
    let mut world = World::new(2);
    world.hogs(16);
    world.run_for(1000 * MS);
    assert!(world.unfairness() < 115, "{:?}", world.cpu_times_ns());
    assert!(world.wasted_ns <= 2 * STEP_NS);
}

#[test]
fn hogs_that_do_not_divide_evenly_share_all_the_same() {
    for (cpus, hogs) in [(2, 3), (4, 5), (3, 16), (4, 7), (8, 9)] {
        let mut world = World::new(cpus);
        world.hogs(hogs);
        world.run_for(1000 * MS);
        assert!(
            world.unfairness() < 130,
            "{hogs} on {cpus}: {:?}",
            world.cpu_times_ns()
        );
    }
}

#[test]
fn hogs_that_were_all_on_one_cpu_spread() {
    let mut world = World::new(2);
    for _ in 0..16 {
        world.start(Habit::Run, Scheduling::default(), CpuMask::only(CpuId(0)));
    }
    world.run_for(100 * MS);
    for actor in &world.actors {
        actor
            .thread
            .affinity
            .store(u64::MAX, core::sync::atomic::Ordering::Relaxed);
    }
    world.wasted_ns = 0;
    world.run_for(1000 * MS);
    assert!(world.unfairness() < 130, "{:?}", world.cpu_times_ns());
    assert!(
        world.wasted_ns <= 5 * MS,
        "the idle CPU is called at the next end of a turn"
    );
}

#[test]
fn nice_values_weigh() {
    let mut world = World::new(1);
    world.start(
        Habit::Run,
        Scheduling {
            nice: 0,
            ..Default::default()
        },
        CpuMask::ALL,
    );
    world.start(
        Habit::Run,
        Scheduling {
            nice: 5,
            ..Default::default()
        },
        CpuMask::ALL,
    );
    world.run_for(1000 * MS);
    let times = world.cpu_times_ns();
    assert!(
        (300..500).contains(&(times[0] * 100 / times[1])),
        "{times:?}"
    );
}

#[test]
fn a_sleeper_is_prompt_among_hogs() {
    let mut world = World::new(2);
    world.hogs(16);
    let sleeper = Habit::RunAndSleep(100_000, 10 * MS);
    let sleeper = world.start(sleeper, Scheduling::default(), CpuMask::ALL);
    world.run_for(20 * MS);
    world.actors[sleeper].worst_wait_ns = 0;
    world.run_for(200 * MS);
    // Its credit lasts for 40 runs.
    let worst_wait_ns = world.actors[sleeper].worst_wait_ns;
    assert!(worst_wait_ns <= MS + 5 * STEP_NS, "{worst_wait_ns}");
}

#[test]
fn forty_yields_do_not_cost_forty_rounds() {
    let mut world = World::new(2);
    world.hogs(16);
    let habit = Habit::RunYieldSleep(10_000, MS);
    let yielder = world.start(habit, Scheduling::default(), CpuMask::ALL);
    world.run_for(1000 * MS);
    // Each run takes 41 steps. Every third time it has used its turn up, and waits for a round.
    let runs = world.cpu_times_ns()[yielder] / (41 * STEP_NS);
    assert!(runs > 60, "{runs}");
}

#[test]
fn a_thread_that_only_yields_leaves_the_cpu_to_others() {
    let mut world = World::new(1);
    world.hogs(1);
    let yielder = world.start(Habit::Yield, Scheduling::default(), CpuMask::ALL);
    world.run_for(1000 * MS);
    assert!(
        world.cpu_times_ns()[yielder] < 300 * MS,
        "{:?}",
        world.cpu_times_ns()
    );
}

#[test]
fn a_pair_that_wakes_each_other_does_not_starve_a_hog() {
    let mut world = World::new(1);
    world.hogs(1);
    world.start(
        Habit::RunAndWake(50_000, 2),
        Scheduling::default(),
        CpuMask::ALL,
    );
    world.start(
        Habit::RunAndWake(50_000, 1),
        Scheduling::default(),
        CpuMask::ALL,
    );
    world.run_for(1000 * MS);
    let times = world.cpu_times_ns();
    assert!(times[0] > 250 * MS, "{times:?}");
    assert!(times[1] > 200 * MS, "{times:?}");
}

#[test]
fn real_time_threads_come_first() {
    let mut world = World::new(1);
    world.hogs(2);
    let scheduling = Scheduling {
        policy: Policy::Fifo(10),
        nice: 0,
    };
    let urgent = world.start(Habit::RunAndSleep(MS, MS), scheduling, CpuMask::ALL);
    world.run_for(100 * MS);
    assert!(
        world.actors[urgent].worst_wait_ns <= 3 * STEP_NS,
        "{}",
        world.actors[urgent].worst_wait_ns
    );
    assert!(world.cpu_times_ns()[urgent] >= 45 * MS);
}

#[test]
fn a_thread_runs_only_where_it_may() {
    let mut world = World::new(4);
    for cpu in 0..4 {
        world.start(Habit::Run, Scheduling::default(), CpuMask::only(CpuId(cpu)));
        world.start(
            Habit::RunAndSleep(MS, MS),
            Scheduling::default(),
            CpuMask::only(CpuId(cpu)),
        );
    }
    for _ in 0..10_000 {
        world.step();
        for (cpu, running) in world.running.iter().enumerate() {
            if let Some(index) = running {
                assert!(
                    world.actors[*index]
                        .thread
                        .affinity()
                        .contains(CpuId(cpu as u32))
                );
            }
        }
    }
}

#[test]
fn an_idle_machine_takes_no_interrupts() {
    let mut world = World::new(4);
    world.start(
        Habit::RunAndSleep(MS, 500 * MS),
        Scheduling::default(),
        CpuMask::ALL,
    );
    world.run_for(3000 * MS);
    let interrupts: u64 = (0..4)
        .map(|cpu| world.scheduler.stats(CpuId(cpu)).timer_interrupts)
        .sum();
    assert!(
        interrupts <= 7,
        "{interrupts} timer interrupts for 6 sleeps"
    );
}

fn habits() -> impl Strategy<Value = Vec<Habit>> {
    let habit = prop_oneof![
        Just(Habit::Run),
        (1..100u64, 1..500u64)
            .prop_map(|(run, sleep)| Habit::RunAndSleep(run * STEP_NS, sleep * STEP_NS)),
        (1..50u64, 0..12usize).prop_map(|(run, other)| Habit::RunAndWake(run * STEP_NS, other)),
    ];
    proptest::collection::vec(habit, 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_cpu_idles_while_a_thread_waits(cpus in 1usize..5, habits in habits()) {
        let mut world = World::new(cpus);
        for habit in habits {
            world.start(habit, Scheduling::default(), CpuMask::ALL);
        }
        let mut worst_ns = 0;
        for _ in 0..5_000 {
            let before_ns = world.wasted_ns;
            world.step();
            worst_ns = if world.wasted_ns > before_ns { worst_ns + STEP_NS } else { 0 };
            prop_assert!(worst_ns <= 2 * STEP_NS, "an IPI takes one step");
        }
    }

    #[test]
    fn every_ready_thread_gets_its_turn(cpus in 1usize..4, habits in habits()) {
        let mut world = World::new(cpus);
        for habit in habits {
            world.start(habit, Scheduling::default(), CpuMask::ALL);
        }
        world.run_for(200 * MS);
        for actor in &world.actors {
            let waits_ns = actor.ready_since_ns.map_or(0, |since_ns| world.machine.now_ns() - since_ns);
            // Each other thread runs one turn, and one credit, before it.
            prop_assert!(waits_ns.max(actor.worst_wait_ns) <= 12 * 9 * MS);
        }
    }
}
