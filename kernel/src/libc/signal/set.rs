//! Signal numbers and sets of them; see signal(7) and sigsetops(3).

use core::fmt;

/// A valid signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident)*) => {
        #[expect(missing_docs, reason = "each is documented by its namesake in signal(7)")]
        impl Signal {
            $(pub const $name: Self = Self(linux_raw_sys::general::$name as u8);)*
        }

        /// The names, for log lines and reports.
        const NAMES: &[(Signal, &str)] = &[$((Signal::$name, stringify!($name))),*];
    };
}

signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2
    SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG
    SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS
}

/// What a signal does that has no handler and is not ignored; the table of signal(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// Ends the process.
    Terminate,
    /// Ends the process and reports where it was.
    Core,
    /// Nothing.
    Ignore,
    /// Would stop the process. There is no job control, hence nobody to continue it, so
    /// it does nothing.
    Stop,
    /// Would continue a stopped process; nothing is ever stopped.
    Continue,
}

impl Signal {
    /// Ctrl-C typed to a session whose thread is not the main one: an exception is to be raised
    /// in that thread. Linux has this number and never sends it.
    pub const THREAD_INTERRUPT: Self = Self::SIGSTKFLT;

    /// Breaks off what a thread waits for, and no more. It is pthread_cancel(3)'s, whose handler
    /// does nothing in a thread that nobody cancelled; programs cannot have it.
    pub const THREAD_WAKE: Self = Self(33);

    /// How many signals there are.
    pub const COUNT: usize = 64;

    /// The first real-time signal as the kernel counts (libraries keep a few for themselves).
    pub const FIRST_REALTIME: u8 = 32;

    /// The signal with this number, if there is one.
    pub fn new(number: usize) -> Option<Self> {
        (1..=Self::COUNT)
            .contains(&number)
            .then_some(Self(number as u8))
    }

    /// Its number.
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Its place in a table of all signals.
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Every instance of it is queued, not only the first.
    pub const fn is_realtime(self) -> bool {
        self.0 >= Self::FIRST_REALTIME
    }

    /// What it does by default.
    pub fn default_action(self) -> DefaultAction {
        match self {
            Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH => DefaultAction::Ignore,
            Self::SIGCONT => DefaultAction::Continue,
            Self::SIGSTOP | Self::SIGTSTP | Self::SIGTTIN | Self::SIGTTOU => DefaultAction::Stop,
            Self::SIGQUIT
            | Self::SIGILL
            | Self::SIGTRAP
            | Self::SIGABRT
            | Self::SIGBUS
            | Self::SIGFPE
            | Self::SIGSEGV
            | Self::SIGXCPU
            | Self::SIGXFSZ
            | Self::SIGSYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(signal, _)| signal == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "SIGRT{}", self.0),
        }
    }
}

/// A set of signals: bit `n - 1` is signal `n`, as in the kernel's 64-bit `sigset_t`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// Those that nobody can block, catch or ignore.
    pub const UNBLOCKABLE: Self = Self::of(&[Signal::SIGKILL, Signal::SIGSTOP]);

    /// Those that a fault of the running code raises; they are delivered first, so that the
    /// handler sees the code that caused them.
    pub const SYNCHRONOUS: Self = Self::of(&[
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGFPE,
        Signal::SIGSYS,
    ]);

    /// The set with these members.
    pub const fn of(signals: &[Signal]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < signals.len() {
            bits |= 1 << signals[i].index();
            i += 1;
        }
        Self(bits)
    }

    /// The set that C passes as these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set as C wants it.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// `signal` is a member.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << signal.index() != 0
    }

    /// The members of either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members of both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members that `other` has not.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Adds a member.
    pub fn insert(&mut self, signal: Signal) {
        *self = self.union(Self::of(&[signal]));
    }

    /// Takes a member out.
    pub fn remove(&mut self, signal: Signal) {
        *self = self.without(Self::of(&[signal]));
    }

    /// The member to deliver first: a synchronous one, else the lowest number.
    pub fn first(self) -> Option<Signal> {
        let synchronous = self.intersection(Self::SYNCHRONOUS);
        let among = if synchronous.is_empty() {
            self
        } else {
            synchronous
        };
        Signal::new(among.0.trailing_zeros() as usize + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_1_to_64_are_no_signals() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(64).map(Signal::index), Some(63));
    }

    #[test]
    fn synchronous_signals_come_first_then_low_numbers() {
        let mut set = SignalSet::of(&[Signal::SIGHUP, Signal::SIGSEGV, Signal::SIGTERM]);
        let mut order = Vec::new();
        while let Some(signal) = set.first() {
            order.push(signal);
            set.remove(signal);
        }
        assert_eq!(order, [Signal::SIGSEGV, Signal::SIGHUP, Signal::SIGTERM]);
        assert_eq!(SignalSet::EMPTY.first(), None);
        assert_eq!(SignalSet::from_bits(1 << 63).first(), Signal::new(64));
    }

    #[test]
    fn default_actions_are_those_of_signal_7() {
        assert_eq!(Signal::SIGINT.default_action(), DefaultAction::Terminate);
        assert_eq!(Signal::SIGABRT.default_action(), DefaultAction::Core);
        assert_eq!(Signal::SIGWINCH.default_action(), DefaultAction::Ignore);
        assert_eq!(
            Signal::new(64).unwrap().default_action(),
            DefaultAction::Terminate
        );
    }
}
