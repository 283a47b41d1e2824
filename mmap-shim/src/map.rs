//! mmap(2).

use crate::area::{Area, AreaFlags, Kind};
use crate::commit::Charge;
use crate::{AddressSpace, Backing, MapError, MapFlags, PAGE_SIZE, PageMapper, Protection};
use alloc::sync::Arc;

/// What is to be mapped.
pub enum Source {
    /// Zeros.
    Anonymous,
    /// An open file.
    File {
        /// Its content.
        backing: Arc<dyn Backing>,
        /// It is open for reading.
        is_readable: bool,
        /// It is open for writing (and not for appending only).
        is_writable: bool,
    },
}

/// The arguments of mmap(2).
pub struct MapRequest {
    /// Where the caller would like it, or with `MAP_FIXED` wants it.
    pub address: usize,
    /// How long.
    pub len: usize,
    /// What may be done with it.
    pub protection: Protection,
    /// The raw flag word.
    pub flags: u32,
    /// What to map.
    pub source: Source,
    /// Offset into the file, in bytes.
    pub offset: u64,
}

/// A new mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where it begins.
    pub address: usize,
    /// Its pages are to be mapped at once (`MAP_POPULATE`, `MAP_LOCKED`).
    pub wants_pages: bool,
}

impl<M: PageMapper> AddressSpace<M> {
    /// mmap(2): makes a mapping.
    pub fn map(&mut self, request: MapRequest) -> Result<Mapping, MapError> {
        let MapRequest {
            address,
            len,
            protection,
            flags: raw,
            source,
            offset,
        } = request;
        let flags = MapFlags::from_bits_truncate(raw);
        if !offset.is_multiple_of(PAGE_SIZE as u64) || len == 0 {
            return Err(MapError::InvalidArgument);
        }
        let len = len
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(MapError::NoMemory)?;
        let first_page = offset / PAGE_SIZE as u64;
        if (offset as usize).checked_add(len).is_none() {
            return Err(MapError::Overflow);
        }
        let (kind, mut area_flags) = kind_of(source, first_page, protection, raw)?;
        if flags.contains(MapFlags::HUGETLB) {
            // The pool of huge pages is empty.
            return Err(MapError::NoMemory);
        }
        let is_locked = flags.contains(MapFlags::LOCKED) || self.locks_future.is_some();
        area_flags.set(AreaFlags::NORESERVE, flags.contains(MapFlags::NORESERVE));
        area_flags.set(AreaFlags::STACK, flags.contains(MapFlags::STACK));
        area_flags.set(AreaFlags::GROWSDOWN, flags.contains(MapFlags::GROWSDOWN));
        area_flags.set(AreaFlags::LOCKED, is_locked);

        let is_reservation = protection.is_empty() && !area_flags.contains(AreaFlags::STACK);
        if is_reservation && matches!(kind, Kind::Anonymous { is_shared: false }) {
            let available = self.mapper.available_pages();
            self.commit.admit_reservation(len / PAGE_SIZE, available)?;
        }
        let start = self.place(address, len, flags)?;
        if self.areas.len() >= self.limits.areas {
            return Err(MapError::NoMemory);
        }
        let mut area = Area {
            end: start + len,
            protection,
            kind,
            flags: area_flags,
            charge: Charge::None,
        };
        // Linux, too, has removed what lay there when it finds that memory is short.
        if flags.intersects(MapFlags::FIXED) {
            self.remove_range(start, start + len);
        }
        if area.is_accountable() {
            let pages = len / PAGE_SIZE;
            match self.commit.admit(pages, self.mapper.available_pages()) {
                Ok(charge) => area.charge = charge,
                Err(error) => {
                    self.publish();
                    return Err(error);
                }
            }
            self.commit.add(area.charge, pages);
        }
        self.insert(start, area);
        self.publish();
        let populates = flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK);
        let locks_now = flags.contains(MapFlags::LOCKED) || self.locks_future == Some(false);
        Ok(Mapping {
            address: start,
            wants_pages: populates || locks_now,
        })
    }

    /// Chooses the address.
    fn place(&self, address: usize, len: usize, flags: MapFlags) -> Result<usize, MapError> {
        let limits = self.limits;
        if len > limits.end - limits.start {
            return Err(MapError::NoMemory);
        }
        let is_inside = |start: usize| limits.start <= start && start <= limits.end - len;
        if flags.intersects(MapFlags::FIXED.union(MapFlags::FIXED_NOREPLACE)) {
            if !address.is_multiple_of(PAGE_SIZE) {
                return Err(MapError::InvalidArgument);
            }
            if address < limits.start {
                // Page 0, the image and the kernel's own are below: as under `vm.mmap_min_addr`.
                return Err(MapError::NotPermitted);
            }
            if !is_inside(address) {
                return Err(MapError::NoMemory);
            }
            if flags.contains(MapFlags::FIXED_NOREPLACE)
                && !self.free.is_free(address, address + len)
            {
                return Err(MapError::Exists);
            }
            return Ok(address);
        }
        let hint = address - address % PAGE_SIZE;
        if is_inside(hint) && self.free.is_free(hint, hint + len) {
            return Ok(hint);
        }
        self.free.find(len).ok_or(MapError::NoMemory)
    }
}

/// Tells what kind of area a request asks for, if it may.
fn kind_of(
    source: Source,
    first_page: u64,
    protection: Protection,
    raw: u32,
) -> Result<(Kind, AreaFlags), MapError> {
    let flags = MapFlags::from_bits_truncate(raw);
    let grows = flags.contains(MapFlags::GROWSDOWN);
    let kind = raw & MapFlags::TYPE;
    let (is_shared, is_validated) = match kind {
        _ if kind == MapFlags::PRIVATE.bits() => (false, false),
        _ if kind == MapFlags::SHARED.bits() => (true, false),
        MapFlags::SHARED_VALIDATE => (true, true),
        _ => return Err(MapError::InvalidArgument),
    };
    let both = AreaFlags::MAY_READ.union(AreaFlags::MAY_WRITE);
    match source {
        Source::Anonymous if is_validated || (is_shared && grows) => Err(MapError::InvalidArgument),
        Source::Anonymous => Ok((Kind::Anonymous { is_shared }, both)),
        Source::File {
            backing,
            is_readable,
            is_writable,
        } => {
            let known = MapFlags::all().difference(MapFlags::SYNC).bits();
            if is_validated && raw & !known != 0 {
                return Err(MapError::NotSupported);
            }
            if !is_readable || (is_shared && protection.contains(Protection::WRITE) && !is_writable)
            {
                return Err(MapError::AccessDenied);
            }
            if grows {
                return Err(MapError::InvalidArgument);
            }
            let rights = if is_shared && !is_writable {
                AreaFlags::MAY_READ
            } else {
                both
            };
            Ok((
                Kind::File {
                    backing,
                    first_page,
                    is_shared,
                },
                rights,
            ))
        }
    }
}
