//! mremap(2).

use crate::area::{AreaFlags, Kind};
use crate::{AddressSpace, MapError, PAGE_SIZE, PageMapper, RemapFlags};

/// Where a mapping is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remapping {
    /// Its first address.
    pub address: usize,
    /// It is locked and has grown: its pages are to be mapped at once.
    pub wants_pages: bool,
}

impl<M: PageMapper> AddressSpace<M> {
    /// mremap(2): shrinks, grows or moves a mapping. `flags` is the raw word.
    ///
    /// `MREMAP_DONTUNMAP` is not supported (`EINVAL`, as on Linux before 5.7); nor is an old length of 0 on an
    /// anonymous shared mapping, whose pages have no object to be mapped twice.
    pub fn remap(
        &mut self,
        old: usize,
        old_len: usize,
        new_len: usize,
        flags: u32,
        new: usize,
    ) -> Result<Remapping, MapError> {
        let flags = RemapFlags::from_bits(flags).ok_or(MapError::InvalidArgument)?;
        let is_fixed = flags.contains(RemapFlags::FIXED);
        let may_move = flags.contains(RemapFlags::MAYMOVE);
        if flags.contains(RemapFlags::DONTUNMAP)
            || (is_fixed && !may_move)
            || !old.is_multiple_of(PAGE_SIZE)
            || new_len == 0
        {
            return Err(MapError::InvalidArgument);
        }
        let round = |len: usize| len.checked_next_multiple_of(PAGE_SIZE);
        let (Some(mut old_len), Some(new_len)) = (round(old_len), round(new_len)) else {
            return Err(MapError::InvalidArgument);
        };
        let old_end = old.checked_add(old_len).ok_or(MapError::InvalidArgument)?;
        self.area_at(old).ok_or(MapError::BadRange)?;
        if is_fixed {
            let new_end = new.checked_add(new_len).ok_or(MapError::InvalidArgument)?;
            let is_apart = new_end <= old || old_end <= new;
            if !new.is_multiple_of(PAGE_SIZE)
                || new < self.limits.start
                || new_end > self.limits.end
                || !is_apart
            {
                return Err(MapError::InvalidArgument);
            }
        }
        let result = (|| {
            if is_fixed {
                self.check_room_for_cut(new, new + new_len)?;
                self.remove_range(new, new + new_len);
            }
            if new_len < old_len {
                self.check_room_for_cut(old + new_len, old_end)?;
                self.remove_range(old + new_len, old_end);
                old_len = new_len;
            }
            if new_len == old_len && !is_fixed {
                return Ok(Remapping {
                    address: old,
                    wants_pages: false,
                });
            }
            self.move_or_grow(old, old_len, new_len, is_fixed.then_some(new), may_move)
        })();
        self.publish();
        result
    }

    fn move_or_grow(
        &mut self,
        old: usize,
        old_len: usize,
        new_len: usize,
        fixed: Option<usize>,
        may_move: bool,
    ) -> Result<Remapping, MapError> {
        let old_end = old + old_len;
        let (area_start, area) = self.area_at(old).ok_or(MapError::BadRange)?;
        let area_end = area.end;
        if old_end > area_end {
            return Err(MapError::BadRange);
        }
        let is_copy = old_len == 0;
        if is_copy
            && !matches!(
                area.kind,
                Kind::File {
                    is_shared: true,
                    ..
                }
            )
        {
            return Err(MapError::InvalidArgument);
        }
        let (charge, flags) = (area.charge, area.flags);
        let growth = new_len - old_len;
        if area.is_accountable() {
            // A mapping keeps the way it is charged, so that it stays one area.
            self.commit
                .admit(growth / PAGE_SIZE, self.mapper.available_pages())?;
        }
        let wants_pages = flags.contains(AreaFlags::LOCKED) && growth > 0;
        let new_end = old
            .checked_add(new_len)
            .filter(|&end| end <= self.limits.end);
        if let Some(new_end) = new_end
            && fixed.is_none()
            && !is_copy
            && old_end == area_end
            && self.free.is_free(old_end, new_end)
        {
            self.free.take(old_end, new_end);
            self.areas.get_mut(&area_start).expect("it was there").end = new_end;
            self.usage.grow(growth / PAGE_SIZE, flags);
            self.commit.add(charge, growth / PAGE_SIZE);
            self.join_at(new_end);
            return Ok(Remapping {
                address: old,
                wants_pages,
            });
        }
        if !may_move || self.areas.len() + 2 >= self.limits.areas {
            return Err(MapError::NoMemory);
        }
        let address = match fixed {
            Some(address) => address,
            None => self.free.find(new_len).ok_or(MapError::NoMemory)?,
        };
        if is_copy {
            self.split_at(old);
            let mut area = self.areas[&old].clone();
            self.join_at(old);
            area.end = address + new_len;
            self.insert(address, area);
            return Ok(Remapping {
                address,
                wants_pages,
            });
        }
        self.mapper
            .relocate(old, address, old_len)
            .map_err(|crate::NoMemory| MapError::NoMemory)?;
        self.split_at(old);
        self.split_at(old_end);
        let mut area = self.detach(old);
        area.end = address + new_len;
        self.commit.add(charge, growth / PAGE_SIZE);
        self.insert(address, area);
        Ok(Remapping {
            address,
            wants_pages,
        })
    }
}
