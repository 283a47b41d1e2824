//! mprotect(2).

use crate::area::AreaFlags;
use crate::commit::Charge;
use crate::{AddressSpace, MapError, PAGE_SIZE, PageMapper, Protection};
use linux_raw_sys::general as raw;

impl<M: PageMapper> AddressSpace<M> {
    /// mprotect(2): changes what may be done with a range; `protection` is the raw word.
    ///
    /// What lies before a hole, or before an area that refuses, is changed, as Linux does it.
    pub fn protect(
        &mut self,
        mut start: usize,
        len: usize,
        protection: u32,
    ) -> Result<(), MapError> {
        let growth = protection & (raw::PROT_GROWSDOWN | raw::PROT_GROWSUP);
        let protection = protection & !growth;
        if growth == raw::PROT_GROWSDOWN | raw::PROT_GROWSUP || !start.is_multiple_of(PAGE_SIZE) {
            return Err(MapError::InvalidArgument);
        }
        if len == 0 {
            return Ok(());
        }
        let end = self.end_of(start, len).ok_or(MapError::NoMemory)?;
        // PROT_SEM is accepted and has no meaning, as on Linux.
        let protection =
            Protection::from_bits(protection & !raw::PROT_SEM).ok_or(MapError::InvalidArgument)?;
        if growth != 0 {
            let (area_start, area) = self.area_at(start).ok_or(MapError::NoMemory)?;
            if growth == raw::PROT_GROWSUP || !area.flags.contains(AreaFlags::GROWSDOWN) {
                return Err(MapError::InvalidArgument);
            }
            start = area_start;
        }
        let result = self.protect_pieces(start, end, protection);
        self.publish();
        result
    }

    fn protect_pieces(
        &mut self,
        start: usize,
        end: usize,
        protection: Protection,
    ) -> Result<(), MapError> {
        let mut at = start;
        while at < end {
            let (_, area) = self.area_at(at).ok_or(MapError::NoMemory)?;
            let piece_end = end.min(area.end);
            if area.protection != protection {
                self.protect_piece(at, piece_end, protection)?;
            }
            at = piece_end;
        }
        Ok(())
    }

    fn protect_piece(
        &mut self,
        start: usize,
        end: usize,
        protection: Protection,
    ) -> Result<(), MapError> {
        let (area_start, area) = self.area_at(start).expect("the caller found it");
        let area_end = area.end;
        let old_charge = area.charge;
        let accounts = area.would_be_accountable(protection);
        if protection.contains(Protection::WRITE) && !area.flags.contains(AreaFlags::MAY_WRITE) {
            return Err(MapError::AccessDenied);
        }
        if (area_start < start || end < area_end) && self.areas.len() >= self.limits.areas {
            return Err(MapError::NoMemory);
        }
        let charge = match (old_charge, accounts) {
            (Charge::None, true) | (Charge::Light | Charge::Full, false) => {
                let missing = (end - start) / PAGE_SIZE - self.mapper.count(start, end).owned;
                let new = if accounts {
                    let admitted = self.commit.admit(missing, self.mapper.available_pages());
                    admitted.inspect_err(|_| self.commit.note_refusal(missing))?
                } else {
                    Charge::None
                };
                self.commit.sub(old_charge, missing);
                self.commit.add(new, missing);
                new
            }
            (unchanged, _) => unchanged,
        };
        self.split_at(start);
        self.split_at(end);
        let area = self.areas.get_mut(&start).expect("an area begins here");
        area.protection = protection;
        area.charge = charge;
        let copies_on_write = area.copies_on_write();
        self.mapper.protect(start, end, protection, copies_on_write);
        self.join_at(end);
        self.join_at(start);
        Ok(())
    }
}
