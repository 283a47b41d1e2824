//! msync(2), mincore(2), mlock(2) and their like.

use crate::area::{AreaFlags, Kind};
use crate::{AddressSpace, LockFlags, MapError, PAGE_SIZE, PageMapper, Protection, SyncFlags};

impl<M: PageMapper> AddressSpace<M> {
    /// msync(2): everything is in memory, and shared pages are the object's own, so only the time of
    /// modification is left to see to. `flags` is the raw word.
    pub fn sync(&mut self, start: usize, len: usize, flags: u32) -> Result<(), MapError> {
        let flags = SyncFlags::from_bits(flags).ok_or(MapError::InvalidArgument)?;
        if !start.is_multiple_of(PAGE_SIZE)
            || flags.contains(SyncFlags::ASYNC.union(SyncFlags::SYNC))
        {
            return Err(MapError::InvalidArgument);
        }
        let end = self.end_of(start, len).ok_or(MapError::NoMemory)?;
        let mut at = start;
        let mut has_hole = false;
        while at < end {
            let Some((area_start, area_end)) = self
                .next_area(at)
                .filter(|&(area_start, _)| area_start < end)
            else {
                has_hole = true;
                break;
            };
            has_hole |= at < area_start;
            let area = &self.areas[&area_start];
            if flags.contains(SyncFlags::INVALIDATE) && area.flags.contains(AreaFlags::LOCKED) {
                return Err(MapError::Busy);
            }
            if let Kind::File {
                backing,
                is_shared: true,
                ..
            } = &area.kind
                && area.protection.contains(Protection::WRITE)
            {
                backing.mark_written();
            }
            at = area_end;
        }
        if has_hole {
            Err(MapError::NoMemory)
        } else {
            Ok(())
        }
    }

    /// mincore(2): tells for each page from `start` on whether it is in memory, as long as `report` has
    /// places. A file's pages are, always.
    pub fn residency(&self, start: usize, report: &mut [u8]) -> Result<(), MapError> {
        for (i, is_resident) in report.iter_mut().enumerate() {
            let page = start + i * PAGE_SIZE;
            let (area_start, area) = self.area_at(page).ok_or(MapError::NoMemory)?;
            *is_resident = u8::from(match &area.kind {
                Kind::File {
                    backing,
                    first_page,
                    ..
                } => {
                    let index = first_page + ((page - area_start) / PAGE_SIZE) as u64;
                    index < backing.len().div_ceil(PAGE_SIZE as u64)
                }
                Kind::Anonymous { .. } => self.mapper.lookup(page).is_some(),
            });
        }
        Ok(())
    }

    /// Checks the arguments of mincore(2); returns the number of pages.
    pub fn residency_pages(&self, start: usize, len: usize) -> Result<usize, MapError> {
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(MapError::InvalidArgument);
        }
        let end = self
            .end_of(start, len)
            .filter(|&end| end <= self.limits.end);
        Ok((end.ok_or(MapError::NoMemory)? - start) / PAGE_SIZE)
    }

    /// mlock(2), munlock(2): marks the areas of a range; returns the range by pages. Mapping the pages is
    /// up to the caller ([`AddressSpace::populate`]).
    pub fn set_locked(
        &mut self,
        start: usize,
        len: usize,
        locks: bool,
    ) -> Result<(usize, usize), MapError> {
        let end = start
            .checked_add(len)
            .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE));
        let (start, end) = (
            start - start % PAGE_SIZE,
            end.ok_or(MapError::InvalidArgument)?,
        );
        let mut at = start;
        while at < end {
            let (area_start, area) = self.area_at(at).ok_or(MapError::NoMemory)?;
            let piece_end = end.min(area.end);
            if area.flags.contains(AreaFlags::LOCKED) != locks {
                if (area_start < at || piece_end < area.end)
                    && self.areas.len() + 2 > self.limits.areas
                {
                    return Err(MapError::NoMemory);
                }
                self.set_piece_locked(at, piece_end, locks);
            }
            at = piece_end;
        }
        Ok((start, end))
    }

    /// mlockall(2), munlockall(2) (no flags): marks all areas, and those to come. `flags` is the raw word.
    pub fn set_all_locked(&mut self, flags: Option<u32>) -> Result<(), MapError> {
        let flags = match flags {
            None => LockFlags::empty(),
            Some(raw) => match LockFlags::from_bits(raw) {
                Some(flags) if flags.intersects(LockFlags::CURRENT.union(LockFlags::FUTURE)) => {
                    flags
                }
                _ => return Err(MapError::InvalidArgument),
            },
        };
        let is_on_fault = flags.contains(LockFlags::ONFAULT);
        self.locks_future = flags.contains(LockFlags::FUTURE).then_some(is_on_fault);
        let locks = flags.contains(LockFlags::CURRENT);
        if locks || flags.is_empty() {
            let mut at = self.limits.start;
            while let Some((start, end)) = self.next_area(at) {
                if self.areas[&start].flags.contains(AreaFlags::LOCKED) != locks {
                    self.set_piece_locked(start, end, locks);
                }
                at = end;
            }
        }
        Ok(())
    }

    fn set_piece_locked(&mut self, start: usize, end: usize, locks: bool) {
        self.split_at(start);
        self.split_at(end);
        let area = self.areas.get_mut(&start).expect("an area begins here");
        area.flags.set(AreaFlags::LOCKED, locks);
        let pages = (end - start) / PAGE_SIZE;
        if locks {
            self.usage.locked += pages;
        } else {
            self.usage.locked -= pages;
        }
        self.join_at(end);
        self.join_at(start);
    }
}
