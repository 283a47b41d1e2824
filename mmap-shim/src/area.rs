//! One mapping of the address space.

use crate::commit::Charge;
use crate::{Backing, FrameUse, PAGE_SIZE, Protection};
use alloc::sync::Arc;
use bitflags::bitflags;

bitflags! {
    /// What else is known of an area.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AreaFlags: u8 {
        /// Memory need not be there until it is touched (`MAP_NORESERVE`).
        const NORESERVE = 1;
        /// It grows down when touched just below (`MAP_GROWSDOWN`).
        const GROWSDOWN = 2;
        /// It is a thread's stack (`MAP_STACK`).
        const STACK = 4;
        /// Its pages are not to be dropped (mlock(2)).
        const LOCKED = 8;
        /// It may be made writable (a shared file must be open for writing).
        const MAY_WRITE = 16;
        /// It may be made readable or executable (a file must be open for reading).
        const MAY_READ = 32;
    }
}

/// What an area shows.
#[derive(Clone)]
pub enum Kind {
    /// Zeros until written.
    Anonymous {
        /// Mapped with `MAP_SHARED`: its content survives `MADV_DONTNEED`.
        is_shared: bool,
    },
    /// An object's pages.
    File {
        /// The object.
        backing: Arc<dyn Backing>,
        /// The page of the object that the area's first page shows.
        first_page: u64,
        /// Writes go to the object; else the first one makes a copy.
        is_shared: bool,
    },
}

impl Kind {
    /// Tells whether it was mapped with `MAP_SHARED`.
    pub fn is_shared(&self) -> bool {
        match self {
            Kind::Anonymous { is_shared } | Kind::File { is_shared, .. } => *is_shared,
        }
    }

    /// Tells whether a page may have a frame of its own.
    fn can_own_frames(&self) -> bool {
        !matches!(
            self,
            Kind::File {
                is_shared: true,
                ..
            }
        )
    }

    /// Returns the kind of a part that begins `pages` further on.
    fn after(&self, pages: usize) -> Kind {
        let mut kind = self.clone();
        if let Kind::File { first_page, .. } = &mut kind {
            *first_page += pages as u64;
        }
        kind
    }

    /// Tells whether `next` shows what this one would show `pages` further on.
    fn continues_as(&self, pages: usize, next: &Kind) -> bool {
        match (self, next) {
            (Kind::Anonymous { is_shared }, Kind::Anonymous { is_shared: next }) => {
                is_shared == next
            }
            (
                Kind::File {
                    backing,
                    first_page,
                    is_shared,
                },
                Kind::File {
                    backing: next_backing,
                    first_page: next_first,
                    is_shared: next_shared,
                },
            ) => {
                core::ptr::addr_eq(Arc::as_ptr(backing), Arc::as_ptr(next_backing))
                    && first_page + pages as u64 == *next_first
                    && is_shared == next_shared
            }
            _ => false,
        }
    }
}

/// One mapping; its start is its key in the map of areas.
#[derive(Clone)]
pub struct Area {
    pub end: usize,
    pub protection: Protection,
    pub kind: Kind,
    pub flags: AreaFlags,
    /// How its outstanding promise counts; `None` while it [is not accountable](Area::is_accountable).
    pub charge: Charge,
}

impl Area {
    /// Tells whether its pages without a frame are promised one, were its protection `protection`.
    pub fn would_be_accountable(&self, protection: Protection) -> bool {
        protection.contains(Protection::WRITE)
            && self.kind.can_own_frames()
            && !self.flags.contains(AreaFlags::NORESERVE)
    }

    /// Tells whether its pages without a frame are promised one.
    pub fn is_accountable(&self) -> bool {
        self.would_be_accountable(self.protection)
    }

    /// Tells what a new frame for it is for.
    pub fn frame_use(&self) -> FrameUse {
        if self
            .flags
            .intersects(AreaFlags::STACK.union(AreaFlags::GROWSDOWN))
        {
            FrameUse::Stack
        } else if self.is_accountable() {
            FrameUse::Promised
        } else {
            FrameUse::Lazy
        }
    }

    /// Tells whether pages with a borrowed frame must stay read-only: the first write copies.
    pub fn copies_on_write(&self) -> bool {
        self.kind.can_own_frames()
    }

    /// Cuts the area, which begins at `start`, at `at`; returns the upper part.
    pub fn split(&mut self, start: usize, at: usize) -> Area {
        debug_assert!(start < at && at < self.end);
        let upper = Area {
            kind: self.kind.after((at - start) / PAGE_SIZE),
            ..self.clone()
        };
        self.end = at;
        upper
    }

    /// Tells whether this area, which begins at `start`, and the one right above it could be one.
    pub fn can_join(&self, start: usize, next: &Area) -> bool {
        self.protection == next.protection
            && self.flags == next.flags
            && self.charge == next.charge
            && !self.flags.contains(AreaFlags::GROWSDOWN)
            && self
                .kind
                .continues_as((self.end - start) / PAGE_SIZE, &next.kind)
    }
}
