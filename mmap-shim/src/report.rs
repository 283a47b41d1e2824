//! What `/proc/self/status`, `maps` and `smaps` tell.

use crate::area::{Area, AreaFlags, Kind};
use crate::{AddressSpace, Backing, Counts, PageMapper, Protection};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How much is mapped, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In areas (`VmSize`), and the most that ever was (`VmPeak`).
    pub mapped: usize,
    /// Highest value of `mapped`.
    pub mapped_peak: usize,
    /// With a frame of their own (`RssAnon`).
    pub owned: usize,
    /// Showing a file's frame (`RssFile`).
    pub borrowed: usize,
    /// Highest sum of `owned` and `borrowed` (`VmHWM`).
    pub resident_peak: usize,
    /// In areas that are locked (`VmLck`).
    pub locked: usize,
    /// In stacks (`VmStk`).
    pub stacks: usize,
}

impl Usage {
    /// Returns the pages in memory (`VmRSS`).
    pub fn resident(&self) -> usize {
        self.owned + self.borrowed
    }

    pub(crate) fn note_peak(&mut self) {
        self.resident_peak = self.resident_peak.max(self.resident());
    }

    pub(crate) fn unmapped(&mut self, counts: Counts) {
        self.owned -= counts.owned;
        self.borrowed -= counts.borrowed;
    }

    pub(crate) fn grow(&mut self, pages: usize, flags: AreaFlags) {
        self.mapped += pages;
        self.mapped_peak = self.mapped_peak.max(self.mapped);
        self.locked += if flags.contains(AreaFlags::LOCKED) {
            pages
        } else {
            0
        };
        self.stacks += if flags.contains(AreaFlags::STACK) {
            pages
        } else {
            0
        };
    }

    pub(crate) fn shrink(&mut self, pages: usize, flags: AreaFlags) {
        self.mapped -= pages;
        self.locked -= if flags.contains(AreaFlags::LOCKED) {
            pages
        } else {
            0
        };
        self.stacks -= if flags.contains(AreaFlags::STACK) {
            pages
        } else {
            0
        };
    }
}

/// One area, as `/proc/self/maps` lists it.
#[derive(Clone)]
pub struct AreaReport {
    /// Its first address.
    pub start: usize,
    /// One past its last.
    pub end: usize,
    /// What may be done with it.
    pub protection: Protection,
    /// It was mapped with `MAP_SHARED`.
    pub is_shared: bool,
    /// What else is known of it.
    pub flags: AreaFlags,
    /// Where it begins in its object, in pages.
    pub first_page: u64,
    /// The object it shows.
    pub backing: Option<Arc<dyn Backing>>,
    /// Its pages in memory.
    pub counts: Counts,
}

impl<M: PageMapper> AddressSpace<M> {
    /// Returns how much is mapped.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns how many areas there are.
    pub fn area_count(&self) -> usize {
        self.areas.len()
    }

    /// Tells whether memory was refused to somebody and has not been plentiful since.
    pub fn is_short(&self) -> bool {
        self.commit.is_short()
    }

    /// Tells whether memory suffices for somebody new, who reserves some and takes `pages` of it bit by bit.
    pub fn could_begin(&self, pages: usize) -> bool {
        self.commit
            .could_begin(pages, self.mapper.available_pages())
    }

    /// Returns the pages that are promised and have no frame yet (`Committed_AS`).
    pub fn outstanding(&self) -> usize {
        self.commit.outstanding()
    }

    /// Lists up to `limit` areas from `address` on; counts pages if `counts_pages`.
    pub fn report_areas(
        &self,
        address: usize,
        limit: usize,
        counts_pages: bool,
    ) -> Vec<AreaReport> {
        let mut reports = Vec::with_capacity(limit.min(self.areas.len()));
        for (&start, area) in self.areas.range(address..).take(limit) {
            reports.push(self.report(start, area, counts_pages));
        }
        reports
    }

    /// Returns the area that an address lies in.
    pub fn report_area(&self, address: usize) -> Option<AreaReport> {
        let (start, area) = self.area_at(address)?;
        Some(self.report(start, area, false))
    }

    fn report(&self, start: usize, area: &Area, counts_pages: bool) -> AreaReport {
        let (backing, first_page) = match &area.kind {
            Kind::Anonymous { .. } => (None, 0),
            Kind::File {
                backing,
                first_page,
                ..
            } => (Some(backing.clone()), *first_page),
        };
        let counts = if counts_pages {
            self.mapper.count(start, area.end)
        } else {
            Counts::default()
        };
        AreaReport {
            start,
            end: area.end,
            protection: area.protection,
            is_shared: area.kind.is_shared(),
            flags: area.flags,
            first_page,
            backing,
            counts,
        }
    }
}
