//! When the network's thread runs next: never later than a timer is due, but not once for each timer.
//!
//! Each request and its answer set a timer and stop it again. A plan that has been made stays, even if its timer
//! has stopped meanwhile: a timer that is due later needs nobody to be woken, and the thread wakes in vain once in
//! the time that a timer takes, not once for each request.

use smoltcp::time::Instant;

/// The earliest time that the thread sleeps until; `None`: until it is woken.
#[derive(Default)]
pub struct Plan(Option<Instant>);

impl Plan {
    /// Notes that a timer is due; tells whether the thread has to be woken, as it would sleep past that.
    pub fn ask(&mut self, due: Option<Instant>) -> bool {
        let is_sooner = match (due, self.0) {
            (Some(due), Some(planned)) => due < planned,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_sooner {
            self.0 = due;
        }
        is_sooner
    }

    /// Returns until when the thread sleeps, which has done all that was due by `now`; the next timer is `due` then.
    pub fn sleep(&mut self, due: Option<Instant>, now: Instant) -> Option<Instant> {
        let still_planned = self.0.filter(|&planned| planned > now);
        self.0 = still_planned.into_iter().chain(due).min();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Option<Instant> {
        Some(Instant::from_millis(millis))
    }

    #[test]
    fn only_who_is_due_sooner_wakes_the_thread() {
        let mut plan = Plan::default();
        assert!(!plan.ask(None));
        assert!(plan.ask(at(20)));
        assert!(!plan.ask(at(20)));
        assert!(!plan.ask(None));
        assert!(plan.ask(at(10)));
    }

    #[test]
    fn a_plan_stays_until_its_time_though_its_timer_has_stopped() {
        let mut plan = Plan::default();
        plan.ask(at(20));
        assert_eq!(plan.sleep(None, Instant::from_millis(5)), at(20));
        assert!(!plan.ask(at(25)));
        assert_eq!(plan.sleep(at(25), Instant::from_millis(20)), at(25));
        assert_eq!(plan.sleep(None, Instant::from_millis(25)), None);
        assert!(plan.ask(at(50)));
    }

    #[test]
    fn the_thread_never_sleeps_past_a_timer() {
        let mut plan = Plan::default();
        plan.ask(at(20));
        assert_eq!(plan.sleep(at(10), Instant::from_millis(5)), at(10));
        assert_eq!(plan.sleep(at(30), Instant::from_millis(15)), at(30));
    }
}
