//! Scheduling policies, as `sched(7)` has them, and the time slices they give.

#![forbid(unsafe_code)]

/// Who runs first; see `sched_setscheduler(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// Shares the CPU in turns, longer ones for lower nice values.
    #[default]
    Other,
    /// Like `Other`, but a wake-up earns no early turn.
    Batch,
    /// Like `Other` with the least weight.
    Idle,
    /// Before all of the above and below higher priorities (1 to 99), until it sleeps.
    Fifo(u8),
    /// Like `Fifo`, in turns with equals.
    RoundRobin(u8),
}

/// How a thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// The policy, with the priority where it has one.
    pub policy: Policy,
    /// -20 (most) to 19 (least), for the policies without priority.
    pub nice: i8,
}

/// A turn at nice 0 when others wait.
pub(crate) const SLICE_NS: u64 = 4_000_000;

/// How long a thread may go on when one waits that woke early. Long enough that a waker that sleeps
/// soon afterwards is not interrupted for it.
pub(crate) const EARLY_NS: u64 = 1_000_000;

impl Scheduling {
    /// Returns the real-time priority, 0 for the policies without one.
    pub const fn priority(self) -> u8 {
        match self.policy {
            Policy::Fifo(priority) | Policy::RoundRobin(priority) => priority,
            Policy::Other | Policy::Batch | Policy::Idle => 0,
        }
    }

    /// Says whether a wake-up may run before threads that wait for their next turn.
    pub(crate) const fn wakes_early(self) -> bool {
        matches!(self.policy, Policy::Other)
    }

    /// Returns how long a turn is. Threads of one CPU take turns, so the length is the weight:
    /// five nice levels double or halve it, about as in Linux.
    pub(crate) const fn slice_ns(self) -> u64 {
        match self.policy {
            Policy::Fifo(_) => u64::MAX,
            Policy::RoundRobin(_) => SLICE_NS,
            Policy::Idle => SLICE_NS / 16,
            Policy::Other | Policy::Batch => {
                let nice = self.nice as i64;
                if nice >= 0 {
                    SLICE_NS * 5 / (5 + nice as u64 * 3)
                } else {
                    SLICE_NS * (5 + nice.unsigned_abs() * 3) / 5
                }
            }
        }
    }
}

impl Scheduling {
    /// Packs the setting into one atomic's worth.
    pub(crate) const fn encode(self) -> u32 {
        let policy = match self.policy {
            Policy::Other => 0,
            Policy::Fifo(_) => 1,
            Policy::RoundRobin(_) => 2,
            Policy::Batch => 3,
            Policy::Idle => 5,
        };
        policy << 16 | (self.priority() as u32) << 8 | self.nice as u8 as u32
    }

    /// Unpacks what `encode` packed.
    pub(crate) const fn decode(word: u32) -> Self {
        let priority = (word >> 8) as u8;
        let policy = match word >> 16 {
            1 => Policy::Fifo(priority),
            2 => Policy::RoundRobin(priority),
            3 => Policy::Batch,
            5 => Policy::Idle,
            _ => Policy::Other,
        };
        Self {
            policy,
            nice: word as u8 as i8,
        }
    }
}
