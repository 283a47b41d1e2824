//! Page faults: which page an access gets, and which accesses fail.

use crate::area::{Area, AreaFlags, Kind};
use crate::{
    AddressSpace, BackingError, Frame, FrameUse, Leaf, NoMemory, Owner, PAGE_SIZE, PageMapper,
    Protection,
};

/// What an instruction wanted of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read it.
    Read,
    /// To write it.
    Write,
    /// To execute it.
    Execute,
}

impl Access {
    /// Tells whether a page with this protection lets it through. As on every machine we know,
    /// what can be written or executed can be read.
    pub fn is_allowed(self, protection: Protection) -> bool {
        match self {
            Access::Read => !protection.is_empty(),
            Access::Write => protection.contains(Protection::WRITE),
            Access::Execute => protection.contains(Protection::EXECUTE),
        }
    }
}

/// Why an access fails: which signal it raises, with which code (sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    NotMapped,
    /// The area does not allow it: SIGSEGV, `SEGV_ACCERR`.
    AccessDenied,
    /// The page lies past the end of the file: SIGBUS, `BUS_ADRERR`.
    PastEnd,
    /// There is no frame: SIGBUS, `BUS_ADRERR`.
    NoMemory,
}

impl From<NoMemory> for FaultError {
    fn from(NoMemory: NoMemory) -> Self {
        FaultError::NoMemory
    }
}

impl From<BackingError> for FaultError {
    fn from(error: BackingError) -> Self {
        match error {
            BackingError::PastEnd => FaultError::PastEnd,
            BackingError::NoMemory => FaultError::NoMemory,
        }
    }
}

/// How many pages one fault maps once a program is seen to walk through an area.
const RUN: usize = 8;

impl<M: PageMapper> AddressSpace<M> {
    /// Makes the page at `address` ready for `access`, or tells why it cannot be.
    pub fn handle_fault(&mut self, address: usize, access: Access) -> Result<(), FaultError> {
        if self.area_at(address).is_none() {
            self.grow_down(address).ok_or(FaultError::NotMapped)?;
        }
        let result = self.fault_in(address, access);
        self.publish();
        result
    }

    fn fault_in(&mut self, address: usize, access: Access) -> Result<(), FaultError> {
        let page = address - address % PAGE_SIZE;
        let (start, area) = self.area_at(address).ok_or(FaultError::NotMapped)?;
        if !access.is_allowed(area.protection) {
            return Err(FaultError::AccessDenied);
        }
        match self.mapper.lookup(page) {
            Some(leaf) if access.is_allowed(leaf.protection) => self.mapper.refresh(page),
            Some(leaf) => {
                assert_eq!(
                    leaf.owner,
                    Owner::Object,
                    "a page's own frame has all its area's rights"
                );
                self.copy_on_write(page, leaf.frame)?;
            }
            None if is_anonymous(area) => {
                let walks = access == Access::Write && self.is_walk(start, page);
                self.fault_in_zeros(page, access)?;
                if walks {
                    self.run_ahead(page);
                }
            }
            None => self.fault_in_file(page, access)?,
        }
        Ok(())
    }

    /// Maps zeros: a frame for a write, the shared frame of zeros for a read.
    fn fault_in_zeros(&mut self, page: usize, access: Access) -> Result<(), FaultError> {
        let (_, area) = self.area_at(page).expect("the caller found it");
        let shares_zeros =
            access != Access::Write && matches!(area.kind, Kind::Anonymous { is_shared: false });
        if shares_zeros {
            let protection = area.protection.without_writing();
            let leaf = Leaf {
                frame: self.mapper.zero_frame(),
                owner: Owner::Object,
                protection,
            };
            return Ok(self.mapper.map(page, leaf)?);
        }
        let wanted_for = area.frame_use();
        let frame = self
            .mapper
            .alloc_zeroed(wanted_for)
            .ok_or(FaultError::NoMemory)?;
        self.map_owned(page, frame)
    }

    /// Maps the object's page, or for a write to a private mapping a copy of it.
    fn fault_in_file(&mut self, page: usize, access: Access) -> Result<(), FaultError> {
        let (start, area) = self.area_at(page).expect("the caller found it");
        let Kind::File {
            backing,
            first_page,
            ..
        } = &area.kind
        else {
            unreachable!("the caller saw a file")
        };
        let index = first_page + ((page - start) / PAGE_SIZE) as u64;
        let frame = backing.page(index)?;
        if area.copies_on_write() && access == Access::Write {
            let copy = self
                .mapper
                .alloc_copy(frame, area.frame_use())
                .ok_or(FaultError::NoMemory)?;
            return self.map_owned(page, copy);
        }
        let shown = area.protection;
        let protection = if area.copies_on_write() {
            shown.without_writing()
        } else {
            shown
        };
        self.mapper.map(
            page,
            Leaf {
                frame,
                owner: Owner::Object,
                protection,
            },
        )?;
        self.usage.borrowed += 1;
        self.usage.note_peak();
        Ok(())
    }

    /// Maps a fresh frame with all rights of the area, as a promise kept.
    fn map_owned(&mut self, page: usize, frame: Frame) -> Result<(), FaultError> {
        let (_, area) = self.area_at(page).expect("the caller found it");
        let (protection, charge) = (area.protection, area.charge);
        if let Err(NoMemory) = self.mapper.map(
            page,
            Leaf {
                frame,
                owner: Owner::Page,
                protection,
            },
        ) {
            self.mapper.free(frame);
            return Err(FaultError::NoMemory);
        }
        self.commit.sub(charge, 1);
        self.usage.owned += 1;
        self.usage.note_peak();
        Ok(())
    }

    /// Gives a page that shows somebody else's frame a copy of its own.
    fn copy_on_write(&mut self, page: usize, shown: Frame) -> Result<(), FaultError> {
        let (_, area) = self.area_at(page).expect("the caller found it");
        let (protection, charge, wanted_for) = (area.protection, area.charge, area.frame_use());
        let is_zeros = shown == self.mapper.zero_frame();
        let copy = if is_zeros {
            self.mapper.alloc_zeroed(wanted_for)
        } else {
            self.mapper.alloc_copy(shown, wanted_for)
        };
        let frame = copy.ok_or(FaultError::NoMemory)?;
        self.mapper.replace(
            page,
            Leaf {
                frame,
                owner: Owner::Page,
                protection,
            },
        );
        self.commit.sub(charge, 1);
        self.usage.owned += 1;
        self.usage.borrowed -= usize::from(!is_zeros);
        self.usage.note_peak();
        Ok(())
    }

    /// Tells whether the two pages below have frames of their own: the program fills the area
    /// upwards. One is not enough: mimalloc begins many a slice of 16 pages by writing to two.
    fn is_walk(&self, area_start: usize, page: usize) -> bool {
        (1..=2).all(|back| {
            let below = page.wrapping_sub(back * PAGE_SIZE);
            (area_start..page).contains(&below)
                && self
                    .mapper
                    .lookup(below)
                    .is_some_and(|leaf| leaf.owner == Owner::Page)
        })
    }

    /// Maps the pages behind `page` that a walk will touch next, as far as memory is plentiful.
    fn run_ahead(&mut self, page: usize) {
        let (_, area) = self.area_at(page).expect("the caller found it");
        if area
            .flags
            .intersects(AreaFlags::STACK.union(AreaFlags::GROWSDOWN))
        {
            return;
        }
        let end = area.end.min(page + RUN * PAGE_SIZE);
        for next in (page + PAGE_SIZE..end).step_by(PAGE_SIZE) {
            if self.mapper.lookup(next).is_some() {
                return;
            }
            let Some(frame) = self.mapper.alloc_zeroed(FrameUse::Lazy) else {
                return;
            };
            if self.map_owned(next, frame).is_err() {
                return;
            }
        }
    }

    /// Lets the area above grow down to an address just below it (mmap(2), `MAP_GROWSDOWN`).
    fn grow_down(&mut self, address: usize) -> Option<()> {
        let page = address - address % PAGE_SIZE;
        let (&start, area) = self.areas.range(address..).next()?;
        let lowest = area.end.saturating_sub(self.limits.stack);
        let may_grow = area.flags.contains(AreaFlags::GROWSDOWN) && page >= lowest;
        let gap_start = page.checked_sub(self.limits.stack_gap)?;
        if !may_grow || gap_start < self.limits.start || !self.free.is_free(gap_start, start) {
            return None;
        }
        let pages = (start - page) / PAGE_SIZE;
        if area.is_accountable() {
            self.commit
                .admit(pages, self.mapper.available_pages())
                .ok()?;
        }
        let area = self.areas.remove(&start).expect("it was there");
        self.free.take(page, start);
        self.usage.grow(pages, area.flags);
        self.commit.add(area.charge, pages);
        self.areas.insert(page, area);
        Some(())
    }

    /// Makes as many pages of `start..end` ready for `access` as `budget` allows; returns where to go
    /// on, or `end`. Holes and pages that cannot be had end it with the fault's error.
    ///
    /// Called piece by piece, so that others get at the address space in between.
    pub fn populate(
        &mut self,
        start: usize,
        end: usize,
        access: Access,
        budget: usize,
    ) -> Result<usize, FaultError> {
        let stop = end.min(start.saturating_add(budget * PAGE_SIZE));
        for page in (start..stop).step_by(PAGE_SIZE) {
            let is_there = self
                .mapper
                .lookup(page)
                .is_some_and(|leaf| access.is_allowed(leaf.protection));
            if !is_there {
                self.handle_fault(page, access)?;
            }
        }
        Ok(stop)
    }

    /// Returns the access that makes the pages at `address` stay: a write where that is allowed, as
    /// mlock(2) and `MAP_POPULATE` want it, else a read; `None` if neither is, or nothing is mapped.
    pub fn strongest_access(&self, address: usize) -> Option<(Access, usize)> {
        let (_, area) = self.area_at(address)?;
        let writes = area.protection.contains(Protection::WRITE);
        let access = if writes { Access::Write } else { Access::Read };
        access
            .is_allowed(area.protection)
            .then_some((access, area.end))
    }
}

fn is_anonymous(area: &Area) -> bool {
    matches!(area.kind, Kind::Anonymous { .. })
}
