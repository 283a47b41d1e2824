//! What the process does about each signal: the table that sigaction(2) changes.

use super::set::{DefaultAction, Signal, SignalSet};
use linux_raw_sys::general as raw;

const HANDLER_DEFAULT: usize = 0;
const HANDLER_IGNORE: usize = 1;

/// `struct kernel_sigaction`: what rt_sigaction(2) takes and gives, on every 64-bit Linux
/// whose libraries pass a restorer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Action {
    handler: usize,
    flags: u64,
    /// Where a handler would return to on Linux. Here handlers are plain calls; kept so that
    /// the old action is given back as it was set.
    restorer: usize,
    mask: u64,
}

/// What delivery of a signal comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Nothing happens.
    Ignore,
    /// The default action, which is not to ignore.
    Default(DefaultAction),
    /// A function of the program runs.
    Handle(Handler),
}

/// How to call a handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handler {
    /// The function's address.
    pub entry: usize,
    /// Blocked while it runs, besides what is blocked already.
    pub blocks: SignalSet,
    /// It runs on the alternate stack, if the thread has one.
    pub on_alternate_stack: bool,
    /// Calls that it interrupted start again.
    pub restarts_calls: bool,
    /// The action goes back to the default before it runs.
    pub is_one_shot: bool,
}

impl Action {
    /// Its size in C.
    pub const SIZE: usize = size_of::<Self>();

    /// The default action.
    pub const DEFAULT: Self = Self {
        handler: HANDLER_DEFAULT,
        flags: 0,
        restorer: 0,
        mask: 0,
    };

    /// As C's bytes say.
    pub fn from_words(words: [u64; 4]) -> Self {
        let [handler, flags, restorer, mask] = words;
        Self {
            handler: handler as usize,
            flags,
            restorer: restorer as usize,
            mask,
        }
    }

    /// The words that C reads.
    pub fn to_words(self) -> [u64; 4] {
        [
            self.handler as u64,
            self.flags,
            self.restorer as u64,
            self.mask,
        ]
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// The program has set it; it is not the default.
    pub fn is_explicit(&self) -> bool {
        self.handler != HANDLER_DEFAULT
    }

    /// What delivery of `signal` comes to under this action.
    pub fn disposition(&self, signal: Signal) -> Disposition {
        match self.handler {
            HANDLER_IGNORE => Disposition::Ignore,
            HANDLER_DEFAULT => match signal.default_action() {
                DefaultAction::Ignore | DefaultAction::Continue | DefaultAction::Stop => {
                    Disposition::Ignore
                }
                action => Disposition::Default(action),
            },
            entry => {
                let mut blocks = SignalSet::from_bits(self.mask);
                if !self.has(raw::SA_NODEFER) {
                    blocks.insert(signal);
                }
                Disposition::Handle(Handler {
                    entry,
                    blocks: blocks.without(SignalSet::UNBLOCKABLE),
                    on_alternate_stack: self.has(raw::SA_ONSTACK),
                    restarts_calls: self.has(raw::SA_RESTART),
                    is_one_shot: self.has(raw::SA_RESETHAND),
                })
            }
        }
    }
}

/// The actions of all signals.
pub struct ActionTable {
    actions: [Action; Signal::COUNT],
}

impl ActionTable {
    /// Every action at its default.
    pub const fn new() -> Self {
        Self {
            actions: [Action::DEFAULT; Signal::COUNT],
        }
    }

    /// The action of `signal`.
    pub fn get(&self, signal: Signal) -> Action {
        self.actions[signal.index()]
    }

    /// Exchanges the action of `signal`; returns the old one.
    pub fn set(&mut self, signal: Signal, action: Action) -> Action {
        core::mem::replace(&mut self.actions[signal.index()], action)
    }

    /// What delivery of `signal` comes to.
    pub fn disposition(&self, signal: Signal) -> Disposition {
        self.actions[signal.index()].disposition(signal)
    }

    /// The signals of `set` that something happens on: a handler, or the end of the process.
    pub fn effective(&self, mut set: SignalSet) -> SignalSet {
        let mut effective = SignalSet::EMPTY;
        while let Some(signal) = set.first() {
            set.remove(signal);
            if self.disposition(signal) != Disposition::Ignore {
                effective.insert(signal);
            }
        }
        effective
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(handler: usize, flags: u32, mask: u64) -> Action {
        Action::from_words([handler as u64, u64::from(flags), 0, mask])
    }

    #[test]
    fn flags_shape_the_handler() {
        let mask = SignalSet::of(&[Signal::SIGUSR2, Signal::SIGKILL]);
        let Disposition::Handle(handler) =
            action(0x1000, raw::SA_RESTART, mask.bits()).disposition(Signal::SIGUSR1)
        else {
            panic!("a function address is a handler");
        };
        assert_eq!(
            handler.blocks,
            SignalSet::of(&[Signal::SIGUSR1, Signal::SIGUSR2])
        );
        assert!(handler.restarts_calls && !handler.is_one_shot && !handler.on_alternate_stack);
        let Disposition::Handle(handler) = action(
            0x1000,
            raw::SA_NODEFER | raw::SA_RESETHAND | raw::SA_ONSTACK,
            0,
        )
        .disposition(Signal::SIGUSR1) else {
            panic!("a function address is a handler");
        };
        assert_eq!(handler.blocks, SignalSet::EMPTY);
        assert!(handler.is_one_shot && handler.on_alternate_stack && !handler.restarts_calls);
    }

    #[test]
    fn default_and_ignore() {
        let mut table = ActionTable::new();
        assert_eq!(table.disposition(Signal::SIGCHLD), Disposition::Ignore);
        assert_eq!(
            table.disposition(Signal::SIGTERM),
            Disposition::Default(DefaultAction::Terminate)
        );
        let old = table.set(Signal::SIGTERM, action(HANDLER_IGNORE, 0, 0));
        assert_eq!(old, Action::DEFAULT);
        assert_eq!(table.disposition(Signal::SIGTERM), Disposition::Ignore);
        let set = SignalSet::of(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGWINCH]);
        assert_eq!(table.effective(set), SignalSet::of(&[Signal::SIGINT]));
    }
}
