//! The map of areas, and what all calls do with it.

use crate::area::{Area, Kind};
use crate::commit::{Charge, Commit, Policy};
use crate::free_space::FreeSpace;
use crate::report::Usage;
use crate::{Backing, Counts, Identity, MapError, Owner, PAGE_SIZE, PageMapper};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// The bounds of an address space.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The lowest address that can be mapped.
    pub start: usize,
    /// One past the highest.
    pub end: usize,
    /// How many areas there may be (`vm.max_map_count`).
    pub areas: usize,
    /// How far an area with `MAP_GROWSDOWN` may grow, in bytes (`RLIMIT_STACK`).
    pub stack: usize,
    /// How much it leaves free below, in bytes.
    pub stack_gap: usize,
}

/// The areas of the one address space.
///
/// The caller serialises the calls (in the kernel: a lock that also the page-fault handler takes).
pub struct AddressSpace<M> {
    pub(crate) mapper: M,
    pub(crate) limits: Limits,
    /// The areas by start. Neighbours that could be one area are one.
    pub(crate) areas: BTreeMap<usize, Area>,
    /// All addresses within the limits that no area uses.
    pub(crate) free: FreeSpace,
    pub(crate) commit: Commit,
    pub(crate) usage: Usage,
    /// How many areas show files.
    pub(crate) file_areas: usize,
    /// Objects of areas that are gone; they are let go outside the lock.
    retired: Vec<Arc<dyn Backing>>,
    /// Whether new areas are locked (mlockall(2) `MCL_FUTURE`), and if so whether only as they are touched.
    pub(crate) locks_future: Option<bool>,
}

impl<M: PageMapper> AddressSpace<M> {
    /// Makes one without areas.
    pub fn new(mapper: M, limits: Limits, policy: Policy) -> Self {
        AddressSpace {
            mapper,
            limits,
            areas: BTreeMap::new(),
            free: FreeSpace::new(limits.start, limits.end),
            commit: Commit::new(policy),
            usage: Usage::default(),
            file_areas: 0,
            retired: Vec::new(),
            locks_future: None,
        }
    }

    /// Gives the mapper, for what concerns the machine alone.
    pub fn mapper(&mut self) -> &mut M {
        &mut self.mapper
    }

    /// Gives up the objects of areas that are gone; to be dropped after the lock.
    #[must_use = "dropping them is the point, outside the lock"]
    pub fn take_retired(&mut self) -> Vec<Arc<dyn Backing>> {
        core::mem::take(&mut self.retired)
    }

    /// munmap(2): removes all mappings of a range. Holes are no error.
    pub fn unmap(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        if !start.is_multiple_of(PAGE_SIZE) || len == 0 {
            return Err(MapError::InvalidArgument);
        }
        let end = self.end_of(start, len).ok_or(MapError::InvalidArgument)?;
        if start < self.limits.start || end > self.limits.end {
            return Err(MapError::InvalidArgument);
        }
        self.check_room_for_cut(start, end)?;
        self.remove_range(start, end);
        self.publish();
        Ok(())
    }

    /// Unmaps `pages` of an object that is about to lose them, wherever they are mapped. Copies made on
    /// write stay, unless they lie past the object's end: then the file was cut, and they go too.
    ///
    /// When it returns no CPU sees the object's frames there any more.
    pub fn forget_backing(&mut self, object: Identity, pages: Range<u64>) {
        if self.file_areas == 0 {
            return;
        }
        let parts: Vec<_> = self
            .areas
            .iter()
            .filter_map(|(&start, area)| {
                let Kind::File {
                    backing,
                    first_page,
                    ..
                } = &area.kind
                else {
                    return None;
                };
                if backing.identity() != object {
                    return None;
                }
                let shown = *first_page..first_page + ((area.end - start) / PAGE_SIZE) as u64;
                let address = |page: u64| {
                    start + (page.clamp(shown.start, shown.end) - shown.start) as usize * PAGE_SIZE
                };
                let end_of_object = address(backing.len().div_ceil(PAGE_SIZE as u64));
                let part = address(pages.start)..address(pages.end);
                Some((area.charge, part, end_of_object))
            })
            .collect();
        for (charge, part, end_of_object) in parts {
            for page in (part.start..part.end.min(end_of_object)).step_by(PAGE_SIZE) {
                if self
                    .mapper
                    .lookup(page)
                    .is_some_and(|leaf| leaf.owner == Owner::Object)
                {
                    self.drop_pages(page, page + PAGE_SIZE, charge);
                }
            }
            let cut = part.start.max(end_of_object)..part.end;
            if !cut.is_empty() {
                self.drop_pages(cut.start, cut.end, charge);
            }
        }
        self.publish();
    }

    /// Returns the page-aligned end of a range, if there is one.
    pub(crate) fn end_of(&self, start: usize, len: usize) -> Option<usize> {
        start.checked_add(len)?.checked_next_multiple_of(PAGE_SIZE)
    }

    /// Returns the area that holds an address.
    pub(crate) fn area_at(&self, address: usize) -> Option<(usize, &Area)> {
        let (&start, area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some((start, area))
    }

    /// Returns bounds of the first area that ends above `address`.
    pub(crate) fn next_area(&self, address: usize) -> Option<(usize, usize)> {
        if let Some((start, area)) = self.area_at(address) {
            return Some((start, area.end));
        }
        self.areas
            .range(address..)
            .next()
            .map(|(&start, area)| (start, area.end))
    }

    /// Fails if cutting out `start..end` could make more areas than there may be.
    pub(crate) fn check_room_for_cut(&self, start: usize, end: usize) -> Result<(), MapError> {
        if self.areas.len() < self.limits.areas {
            return Ok(());
        }
        let splits = |at: usize| {
            self.area_at(at)
                .is_some_and(|(area_start, _)| area_start < at)
        };
        if splits(start) || splits(end) {
            Err(MapError::NoMemory)
        } else {
            Ok(())
        }
    }

    /// Makes `at` a border between areas, if it lies in one.
    pub(crate) fn split_at(&mut self, at: usize) {
        let Some((&start, area)) = self.areas.range_mut(..at).next_back() else {
            return;
        };
        if at < area.end {
            let upper = area.split(start, at);
            self.file_areas += matches!(upper.kind, Kind::File { .. }) as usize;
            self.areas.insert(at, upper);
        }
    }

    /// Makes the areas that meet at `at` one, if they can be.
    pub(crate) fn join_at(&mut self, at: usize) {
        let Some(upper) = self.areas.get(&at) else {
            return;
        };
        let Some((&start, lower)) = self.areas.range(..at).next_back() else {
            return;
        };
        if lower.end != at || !lower.can_join(start, upper) {
            return;
        }
        let upper = self.areas.remove(&at).expect("it was there");
        self.file_areas -= matches!(upper.kind, Kind::File { .. }) as usize;
        self.areas.get_mut(&start).expect("it was there").end = upper.end;
    }

    /// Adds an area where nothing is.
    pub(crate) fn insert(&mut self, start: usize, area: Area) {
        let end = area.end;
        self.free.take(start, end);
        self.file_areas += matches!(area.kind, Kind::File { .. }) as usize;
        self.usage.grow((end - start) / PAGE_SIZE, area.flags);
        self.areas.insert(start, area);
        self.join_at(end);
        self.join_at(start);
    }

    /// Takes the area that begins at `start` off the map; its pages and promises stay.
    pub(crate) fn detach(&mut self, start: usize) -> Area {
        let area = self.areas.remove(&start).expect("an area begins here");
        self.file_areas -= matches!(area.kind, Kind::File { .. }) as usize;
        self.usage
            .shrink((area.end - start) / PAGE_SIZE, area.flags);
        self.free.give(start, area.end);
        area
    }

    /// Removes all areas of a range, with their pages.
    pub(crate) fn remove_range(&mut self, start: usize, end: usize) {
        self.split_at(start);
        self.split_at(end);
        while let Some((area_start, area_end)) = self.next_area(start)
            && area_start < end
        {
            let area = self.detach(area_start);
            let counts = self.mapper.unmap(area_start, area_end, true);
            self.usage.unmapped(counts);
            self.commit.sub(
                area.charge,
                (area_end - area_start) / PAGE_SIZE - counts.owned,
            );
            if let Kind::File {
                backing, is_shared, ..
            } = area.kind
            {
                if is_shared && area.protection.contains(crate::Protection::WRITE) {
                    backing.mark_written();
                }
                self.retired.push(backing);
            }
        }
    }

    /// Drops the pages of part of an area; the next touch faults.
    pub(crate) fn drop_pages(&mut self, start: usize, end: usize, charge: Charge) -> Counts {
        let counts = self.mapper.unmap(start, end, false);
        self.usage.unmapped(counts);
        self.commit.add(charge, counts.owned);
        counts
    }

    /// Tells the mapper what is promised; at the end of every call that changes it.
    pub(crate) fn publish(&mut self) {
        self.mapper.set_promised(self.commit.promised());
        self.commit.note_available(self.mapper.available_pages());
    }
}
