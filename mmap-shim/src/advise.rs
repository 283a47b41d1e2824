//! madvise(2).

use crate::area::{AreaFlags, Kind};
use crate::{Access, AddressSpace, Advice, MapError, PAGE_SIZE, PageMapper, Protection};

impl<M: PageMapper> AddressSpace<M> {
    /// madvise(2): `advice` is the raw number. Returns the access that the pages of the range are to be
    /// mapped for, if the advice is to do so ([`AddressSpace::populate`]).
    ///
    /// A hole makes the call fail at its end: what is mapped has been dealt with.
    pub fn advise(
        &mut self,
        start: usize,
        len: usize,
        advice: u32,
    ) -> Result<Option<Access>, MapError> {
        let advice = Advice::from_raw(advice).ok_or(MapError::InvalidArgument)?;
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(MapError::InvalidArgument);
        }
        let end = self.end_of(start, len).ok_or(MapError::InvalidArgument)?;
        let result = self.advise_pieces(start, end, advice);
        self.publish();
        result?;
        Ok(match advice {
            Advice::PopulateRead => Some(Access::Read),
            Advice::PopulateWrite => Some(Access::Write),
            _ => None,
        })
    }

    fn advise_pieces(&mut self, start: usize, end: usize, advice: Advice) -> Result<(), MapError> {
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
            let piece_end = end.min(area_end);
            self.advise_piece(at.max(area_start), piece_end, advice)?;
            at = piece_end;
        }
        if has_hole {
            Err(MapError::NoMemory)
        } else {
            Ok(())
        }
    }

    fn advise_piece(&mut self, start: usize, end: usize, advice: Advice) -> Result<(), MapError> {
        let (_, area) = self.area_at(start).expect("the caller found it");
        let (charge, is_locked) = (area.charge, area.flags.contains(AreaFlags::LOCKED));
        let is_private_anonymous = matches!(area.kind, Kind::Anonymous { is_shared: false });
        match advice {
            Advice::Hint | Advice::PopulateRead | Advice::PopulateWrite => {}
            Advice::DontNeed | Advice::Free if is_locked => return Err(MapError::InvalidArgument),
            Advice::DontNeed | Advice::DontNeedLocked => {
                // A shared anonymous area is its own object, which keeps its content.
                if !matches!(area.kind, Kind::Anonymous { is_shared: true }) {
                    self.drop_pages(start, end, charge);
                }
            }
            Advice::Free | Advice::WipeOnFork if !is_private_anonymous => {
                return Err(MapError::InvalidArgument);
            }
            Advice::WipeOnFork => {}
            Advice::Free => {
                self.drop_pages(start, end, charge);
            }
            Advice::Remove => match &area.kind {
                _ if is_locked => return Err(MapError::InvalidArgument),
                kind if !kind.is_shared() => return Err(MapError::InvalidArgument),
                _ if !area.protection.contains(Protection::WRITE) => {
                    return Err(MapError::AccessDenied);
                }
                // Punching a hole into a file is fallocate(2)'s business.
                Kind::File { .. } => return Err(MapError::NotSupported),
                Kind::Anonymous { .. } => {
                    self.drop_pages(start, end, charge);
                }
            },
        }
        Ok(())
    }
}
