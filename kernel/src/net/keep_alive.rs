//! Whether the other end of a silent connection still lives (RFC 9293, 3.8.4; tcp(7)): after a time it is asked, and
//! asked again; if it answers nothing, the connection is given up.
//!
//! smoltcp has one interval for all of it, so the times are kept here, and it is told when to ask.
#![forbid(unsafe_code)]

use smoltcp::time::{Duration, Instant};

/// What a socket's options say.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// After how much silence the other end is asked first (TCP_KEEPIDLE).
    pub idle: Duration,
    /// How long an answer is waited for (TCP_KEEPINTVL).
    pub interval: Duration,
    /// How often it is asked (TCP_KEEPCNT).
    pub count: u32,
    /// How much silence is too much, however often it was asked (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// The other end is to be asked.
    Ask,
    /// The other end is gone.
    GiveUp,
}

/// What is known of the other end.
#[derive(Debug)]
pub struct Watch {
    /// When it was last heard of.
    heard: Instant,
    /// How often it was asked since, and when last.
    asked: u32,
    asked_last: Instant,
}

impl Watch {
    /// Begins with an end that has just been heard of.
    pub fn new(now: Instant) -> Self {
        Watch {
            heard: now,
            asked: 0,
            asked_last: now,
        }
    }

    /// Returns how often it was asked since it was last heard of.
    pub fn unanswered(&self) -> u32 {
        self.asked
    }

    /// Notes that something came from it, or that it owes an answer to more than a question: then patience with it is
    /// another's.
    pub fn hear(&mut self, now: Instant) {
        *self = Watch::new(now);
    }

    /// Returns when the next step is due.
    pub fn deadline(&self, settings: &Settings) -> Instant {
        match self.asked {
            0 => self.heard + settings.idle,
            _ => self.asked_last + settings.interval,
        }
    }

    /// Tells what is due, which counts as done then.
    pub fn step(&mut self, settings: &Settings, now: Instant) -> Step {
        if now < self.deadline(settings) {
            return Step::Wait;
        }
        let is_gone = match settings.user_timeout {
            Some(most) => self.asked > 0 && now >= self.heard + most,
            None => self.asked >= settings.count,
        };
        if is_gone {
            return Step::GiveUp;
        }
        self.asked += 1;
        self.asked_last = now;
        Step::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const SETTINGS: Settings = Settings {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(5),
        count: 3,
        user_timeout: None,
    };

    /// Looks every second; returns when something was to be done, and what, until the other end was given up.
    fn run(settings: &Settings, answers_until: i64) -> Vec<(i64, Step)> {
        let mut watch = Watch::new(Instant::ZERO);
        let mut found = Vec::new();
        for second in 1.. {
            let now = Instant::from_secs(second);
            let step = watch.step(settings, now);
            if step == Step::Wait {
                assert!(watch.deadline(settings) > now);
                continue;
            }
            found.push((second, step));
            if step == Step::GiveUp {
                break;
            }
            if second < answers_until {
                watch.hear(now);
            }
        }
        found
    }

    #[test]
    fn it_is_asked_so_often_and_then_given_up() {
        let expected = [
            (60, Step::Ask),
            (65, Step::Ask),
            (70, Step::Ask),
            (75, Step::GiveUp),
        ];
        assert_eq!(run(&SETTINGS, 0), expected);
    }

    #[test]
    fn an_answer_begins_anew() {
        let steps = run(&SETTINGS, 150);
        let times: Vec<i64> = steps.iter().map(|(second, _)| *second).collect();
        assert_eq!(times, [60, 120, 180, 185, 190, 195]);
    }

    #[test]
    fn the_user_s_patience_counts_instead_of_the_number() {
        let settings = Settings {
            user_timeout: Some(Duration::from_secs(63)),
            ..SETTINGS
        };
        assert_eq!(run(&settings, 0), [(60, Step::Ask), (65, Step::GiveUp)]);
        let settings = Settings {
            user_timeout: Some(Duration::from_secs(90)),
            ..SETTINGS
        };
        assert_eq!(run(&settings, 0).last(), Some(&(90, Step::GiveUp)));
    }
}
