//! How much memory the areas have been promised, and who is refused.
//!
//! A page fault cannot return `ENOMEM`; a call can. So a page that may be written is counted when
//! its area is made or made writable (mmap, mprotect, mremap), and these calls fail when the
//! frames would not be there. What is counted is the *outstanding promise*: pages that are
//! writable, have no frame of their own yet, and are not `MAP_NORESERVE`.
//!
//! - A request must fit into the free frames in full, or it fails: `bytearray(1 << 40)`.
//! - Once granted, a large request stays counted in full. Small ones (allocator slices, of which
//!   most pages are never touched) count an eighth beyond a certain sum: 1000 threads take 18
//!   slices of 64 KiB each and touch a page or two of most. Up to that sum they count in full, or a
//!   program that fills memory with objects of one size after another, and so completes
//!   slices it had begun long before, would find no frame in the end.
//! - Large requests leave a margin that small ones may use, so that a program which has run out
//!   while building something big can still handle its `MemoryError`.
//! - After a commitment (mprotect) has been refused, large reservations are refused too, as long as
//!   there is no room for that commitment: mimalloc meets a refusal by reserving the next segment
//!   and trying there, again and again, each time for some memory more.
//! - After the first refusal of a small request the next few are granted from the reserve, once,
//!   until memory comes back: a traceback has to be allocated somewhere.
//! - From a refusal on memory is *short* until it is plentiful again: for who can give some back.

use crate::MapError;

/// How an area's outstanding promise counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Not at all: not writable, not private, or `MAP_NORESERVE`.
    None,
    /// At [`Policy::light_divisor`].
    Light,
    /// In full.
    Full,
}

/// The numbers of the policy, in pages.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Requests of at least this many are large.
    pub large: usize,
    /// What large requests leave to small ones.
    pub margin: usize,
    /// So many pages of small requests count in full.
    pub certain: usize,
    /// This many pages of small requests beyond that count as one.
    pub light_divisor: usize,
    /// What small requests get from the reserve after the first refusal.
    pub grace: usize,
    /// So many pages that nobody has or was promised end a shortage.
    pub plenty: usize,
}

impl Default for Policy {
    /// Large from 1 MiB on, a margin of 4 MiB, an eighth beyond 16 MiB, a grace of 2 MiB, plenty from 64 MiB on.
    fn default() -> Self {
        Policy {
            large: 256,
            margin: 1024,
            certain: 4096,
            light_divisor: 8,
            grace: 512,
            plenty: 16384,
        }
    }
}

/// The sums.
#[derive(Debug)]
pub struct Commit {
    policy: Policy,
    full: usize,
    light: usize,
    /// What is left of the grace; `None` while nothing has been refused.
    grace: Option<usize>,
    /// The commitment that was refused last, in pages; 0 once there would be room for it.
    refused: usize,
    is_short: bool,
}

impl Commit {
    /// Makes one with nothing promised.
    pub fn new(policy: Policy) -> Self {
        Commit {
            policy,
            full: 0,
            light: 0,
            grace: None,
            refused: 0,
            is_short: false,
        }
    }

    /// Returns how many frames the promises are worth.
    pub fn promised(&self) -> usize {
        let certain = self.light.min(self.policy.certain);
        self.full + certain + (self.light - certain) / self.policy.light_divisor
    }

    /// Returns how many pages are promised, none discounted (`Committed_AS`).
    pub fn outstanding(&self) -> usize {
        self.full + self.light
    }

    /// Decides on a request of `pages` while `available` frames lie above the reserve; tells how it
    /// is to be charged.
    pub fn admit(&mut self, pages: usize, available: usize) -> Result<Charge, MapError> {
        let decision = self.decide(pages, available.saturating_sub(self.promised()));
        self.is_short |= decision.is_err();
        decision
    }

    fn decide(&mut self, pages: usize, room: usize) -> Result<Charge, MapError> {
        if pages >= self.policy.large {
            return match pages.checked_add(self.policy.margin) {
                Some(needed) if needed <= room => Ok(Charge::Full),
                _ => Err(MapError::NoMemory),
            };
        }
        if pages <= room {
            self.grace = None;
            return Ok(Charge::Light);
        }
        match &mut self.grace {
            None => {
                self.grace = Some(self.policy.grace);
                Err(MapError::NoMemory)
            }
            Some(left) => {
                *left = left.checked_sub(pages).ok_or(MapError::NoMemory)?;
                Ok(Charge::Light)
            }
        }
    }

    /// Tells whether a request was refused and memory has not been plentiful since.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Notes how many frames lie above the reserve: enough of them end a shortage.
    pub fn note_available(&mut self, available: usize) {
        self.is_short &= available.saturating_sub(self.promised()) < self.policy.plenty;
    }

    /// Notes that reserved memory could not be committed.
    pub fn note_refusal(&mut self, pages: usize) {
        self.refused = pages;
    }

    /// Decides on a reservation of `pages`, which costs nothing by itself.
    pub fn admit_reservation(&mut self, pages: usize, available: usize) -> Result<(), MapError> {
        if self.refused == 0 || pages < self.policy.large {
            return Ok(());
        }
        if available.saturating_sub(self.promised()) < self.room_to_reserve() {
            return Err(MapError::NoMemory);
        }
        self.refused = 0;
        Ok(())
    }

    /// Tells whether somebody could have a large reservation now, and small requests for `pages` in it.
    pub fn could_begin(&self, pages: usize, available: usize) -> bool {
        available.saturating_sub(self.promised()) >= pages.max(self.room_to_reserve())
    }

    /// What must be there for large reservations: room for the commitment that was refused last.
    fn room_to_reserve(&self) -> usize {
        if self.refused >= self.policy.large {
            self.refused + self.policy.margin
        } else {
            self.refused
        }
    }

    /// Counts pages that were promised, or that lost their frame.
    pub fn add(&mut self, charge: Charge, pages: usize) {
        match charge {
            Charge::None => {}
            Charge::Light => self.light += pages,
            Charge::Full => self.full += pages,
        }
    }

    /// Counts pages that got their frame, or whose promise ended.
    pub fn sub(&mut self, charge: Charge, pages: usize) {
        let sum = match charge {
            Charge::None => return,
            Charge::Light => &mut self.light,
            Charge::Full => &mut self.full,
        };
        *sum = sum
            .checked_sub(pages)
            .expect("no more is fulfilled than was promised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        Commit::new(Policy {
            large: 100,
            margin: 10,
            certain: 0,
            light_divisor: 4,
            grace: 20,
            plenty: 300,
        })
    }

    #[test]
    fn a_large_request_counts_in_full_and_leaves_the_margin() {
        let mut commit = commit();
        assert_eq!(commit.admit(100, 109), Err(MapError::NoMemory));
        assert_eq!(commit.admit(100, 110), Ok(Charge::Full));
        commit.add(Charge::Full, 100);
        assert_eq!(commit.admit(100, 209), Err(MapError::NoMemory));
        assert_eq!(
            commit.admit(usize::MAX, usize::MAX),
            Err(MapError::NoMemory)
        );
        assert_eq!(commit.admit(99, 199), Ok(Charge::Light));
    }

    #[test]
    fn small_requests_must_fit_but_then_count_a_quarter() {
        let mut commit = commit();
        for granted in 0..20 {
            assert_eq!(commit.admit(40, 40 + granted * 10), Ok(Charge::Light));
            assert_eq!(commit.promised(), granted * 10);
            commit.add(Charge::Light, 40);
        }
        assert_eq!(commit.outstanding(), 800);
    }

    #[test]
    fn small_requests_count_in_full_up_to_a_sum() {
        let mut commit = commit();
        commit.policy.certain = 50;
        commit.add(Charge::Light, 40);
        assert_eq!(commit.promised(), 40);
        commit.add(Charge::Light, 50);
        assert_eq!(commit.promised(), 60);
        commit.sub(Charge::Light, 60);
        assert_eq!(commit.promised(), 30);
    }

    #[test]
    fn memory_is_short_from_a_refusal_until_it_is_plentiful() {
        let mut commit = commit();
        commit.note_available(0);
        assert!(!commit.is_short(), "nobody was refused");
        assert_eq!(commit.admit(50, 49), Err(MapError::NoMemory));
        commit.add(Charge::Full, 20);
        commit.note_available(319);
        assert!(commit.is_short(), "20 of these are promised");
        assert_eq!(commit.admit(50, 319), Ok(Charge::Light));
        assert!(commit.is_short());
        commit.note_available(320);
        assert!(!commit.is_short());
        assert_eq!(commit.admit(1000, 500), Err(MapError::NoMemory));
        assert!(commit.is_short(), "a large request counts as well");
    }

    #[test]
    fn reservations_end_where_commitments_were_refused() {
        let mut commit = commit();
        assert_eq!(commit.admit_reservation(usize::MAX, 0), Ok(()));
        commit.note_refusal(50);
        assert_eq!(commit.admit_reservation(1000, 49), Err(MapError::NoMemory));
        assert_eq!(
            commit.admit_reservation(99, 49),
            Ok(()),
            "small ones do no harm"
        );
        assert_eq!(
            commit.admit_reservation(1000, 50),
            Ok(()),
            "memory has come back"
        );
        assert_eq!(commit.admit_reservation(1000, 0), Ok(()));
        commit.note_refusal(150);
        assert_eq!(commit.admit_reservation(1000, 159), Err(MapError::NoMemory));
        assert_eq!(commit.admit_reservation(1000, 160), Ok(()));
    }

    #[test]
    fn one_can_begin_where_small_requests_and_reservations_are_granted() {
        let mut commit = commit();
        assert!(commit.could_begin(30, 30));
        assert!(!commit.could_begin(30, 29));
        commit.add(Charge::Full, 5);
        assert!(!commit.could_begin(30, 34));
        commit.note_refusal(150);
        assert!(!commit.could_begin(30, 164), "reservations are refused");
        assert!(commit.could_begin(30, 165));
        assert_eq!(commit.admit_reservation(1000, 164), Err(MapError::NoMemory));
        assert_eq!(commit.admit_reservation(1000, 165), Ok(()));
    }

    #[test]
    fn a_refusal_is_followed_by_one_grace() {
        let mut commit = commit();
        assert_eq!(commit.admit(1, 0), Err(MapError::NoMemory));
        assert_eq!(commit.admit(15, 0), Ok(Charge::Light));
        assert_eq!(commit.admit(6, 0), Err(MapError::NoMemory));
        assert_eq!(commit.admit(5, 0), Ok(Charge::Light));
        assert_eq!(commit.admit(1, 0), Err(MapError::NoMemory));
        assert_eq!(
            commit.admit(1, 1),
            Ok(Charge::Light),
            "memory has come back"
        );
        assert_eq!(commit.admit(1, 0), Err(MapError::NoMemory));
        assert_eq!(
            commit.admit(20, 0),
            Ok(Charge::Light),
            "so there is a new grace"
        );
    }
}
