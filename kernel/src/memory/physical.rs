//! Physical memory by address, as `_hal` gives it to Python: frames that Python owns, devices' registers,
//! and both mapped where Python wants them.
//!
//! What is mapped by address are areas of the one address space like any other, over an object whose
//! pages are the frames. So page faults, mprotect, munmap and TLB shootdown need nothing new, and
//! `/proc/self/maps` shows them as `/dev/physical`.

use super::buddy::{ORDERS, blocks_of};
use super::tables::PageTables;
use super::{PAGE_SIZE, PhysAddr, address_space, frames, map_mmio, phys_to_virt};
use crate::arch;
use crate::arch::page_table::{DEVICE_RANGE, USER_RANGE, direct_map};
use crate::boot::{PhysRange, RangeList};
use crate::libc::errno::Errno;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use mmap_shim::{Backing, BackingError, Frame, Identity, MapFlags, MapRequest, Protection, Source};
use smp::SpinLock;
use spin::Once;

/// All RAM of the machine, the image's and the kernel's own included.
static RAM: Once<RangeList<128>> = Once::new();
static TABLES: Once<PageTables> = Once::new();

/// Frames that Python owns, by number of the first.
static BLOCKS: SpinLock<BTreeMap<usize, Arc<Block>>> = SpinLock::new(BTreeMap::new());
/// Where pages of registers are seen, by physical page.
static REGISTERS: SpinLock<BTreeMap<usize, usize>> = SpinLock::new(BTreeMap::new());

/// What `/proc/self/maps` and the checks below know our areas by.
const DEVICE: u64 = 0x7079;

/// What is to be there before the kernel's heap and page tables, which cannot be refused, are asked.
const MARGIN: usize = 16;

/// A run of frames that Python owns; they go back when nobody refers to it any more, neither
/// Python nor what is mapped.
struct Block {
    first: Frame,
    count: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        give_back(self.first.0, self.first.0 + self.count);
    }
}

/// Notes what is RAM and which tables map it.
pub(super) fn init(tables: PageTables, ram: RangeList<128>) {
    TABLES.call_once(|| tables);
    RAM.call_once(|| ram);
}

/// Tells whether a physical address is one of RAM.
pub fn is_ram(address: u64) -> bool {
    overlaps_ram(address, 1)
}

fn overlaps_ram(start: u64, len: u64) -> bool {
    let range = PhysRange::new(start, len);
    let touches = |ram: &PhysRange| ram.start < range.end && range.start < ram.end;
    RAM.get()
        .is_none_or(|ram| ram.as_slice().iter().any(touches))
}

/// Takes `count` frames of zeros in a row, the first a multiple of `align`, a power of two.
pub fn alloc_frames(count: usize, align: usize) -> Option<Frame> {
    let order = count.checked_next_power_of_two()?.max(align).ilog2() as usize;
    if order >= ORDERS || !frames::has_room(count.saturating_add(MARGIN)) {
        return None;
    }
    let first = frames::alloc_block(order)?;
    give_back(first.0 + count, first.0 + (1 << order));
    for frame in first.0..first.0 + count {
        frames::zero(Frame(frame));
    }
    let block = Arc::new(Block { first, count });
    BLOCKS.lock().insert(first.0, block);
    Some(first)
}

/// Gives frames back, in the largest blocks that lie in them.
fn give_back(start: usize, end: usize) {
    for (block, order) in blocks_of(start, end) {
        frames::free_block(Frame(block), order);
    }
}

/// Gives frames back that [`alloc_frames`] gave: all of one request at once. What is mapped of them by
/// [`map`] stays until it is unmapped, and the frames go back then.
///
/// # Errors
///
/// `EINVAL` if they are not that.
pub fn free_frames(first: Frame, count: usize) -> Result<(), Errno> {
    let mut blocks = BLOCKS.lock();
    let is_it = |block: &Arc<Block>| block.count == count;
    if !blocks.get(&first.0).is_some_and(is_it) {
        return Err(Errno::EINVAL);
    }
    let block = blocks.remove(&first.0);
    drop(blocks);
    drop(block);
    Ok(())
}

/// Returns the block of Python's that holds a range of frames.
fn block_around(first: Frame, count: usize) -> Option<Arc<Block>> {
    let blocks = BLOCKS.lock();
    let (_, block) = blocks.range(..=first.0).next_back()?;
    (first.0 + count <= block.first.0 + block.count).then(|| block.clone())
}

/// Returns where the kernel sees frames that Python owns, if a virtual address is there.
pub fn is_owned_address(address: usize, len: usize) -> bool {
    let Some(physical) = address.checked_sub(direct_map()) else {
        return false;
    };
    let (first, last) = (physical / PAGE_SIZE, (physical + len - 1) / PAGE_SIZE);
    address < DEVICE_RANGE.start && block_around(Frame(first), last - first + 1).is_some()
}

/// Tells whether the kernel sees registers of a device at a virtual address.
pub fn is_register_address(address: usize) -> bool {
    DEVICE_RANGE.contains(&address)
}

/// Returns where a frame of Python's is seen.
pub fn address_of(first: Frame) -> usize {
    phys_to_virt(PhysAddr(first.start())).addr()
}

/// Returns where a device's registers at a physical address are seen, mapping them at the first call.
///
/// # Errors
///
/// `EFAULT` if the address is one of RAM, or beyond what the machine has addresses for; `ENOMEM`.
pub fn register_address(physical: usize) -> Result<usize, Errno> {
    let page = physical - physical % PAGE_SIZE;
    if physical as u64 >> arch::registers::physical_bits() != 0
        || overlaps_ram(page as u64, PAGE_SIZE as u64)
    {
        return Err(Errno::EFAULT);
    }
    let mut registers = REGISTERS.lock();
    let seen = match registers.get(&page) {
        Some(&seen) => seen,
        None => {
            if !frames::has_room(MARGIN) {
                return Err(Errno::ENOMEM);
            }
            // SAFETY: it is no RAM. That a driver in Python and one of the kernel's keep out of each
            // other's way is for whoever writes the former to see to.
            let seen = unsafe { map_mmio(PhysAddr(page as u64), PAGE_SIZE) }.expose_provenance();
            registers.insert(page, seen);
            seen
        }
    };
    Ok(seen + physical % PAGE_SIZE)
}

/// Physical memory as an object that can be mapped.
struct Physical {
    first: Frame,
    count: usize,
    /// Keeps the frames.
    _block: Option<Arc<Block>>,
}

impl Backing for Physical {
    fn page(&self, index: u64) -> Result<Frame, BackingError> {
        if index < self.count as u64 {
            Ok(Frame(self.first.0 + index as usize))
        } else {
            Err(BackingError::PastEnd)
        }
    }

    fn len(&self) -> u64 {
        (self.count * PAGE_SIZE) as u64
    }

    fn identity(&self) -> Identity {
        Identity {
            device: DEVICE,
            inode: self.first.0 as u64,
        }
    }

    fn path(&self) -> String {
        "/dev/physical".to_string()
    }
}

/// What may be done with a page, and what it is: the flags of `_hal.page_map`.
pub mod flags {
    /// It may be read.
    pub const READ: u32 = 1;
    /// It may be written.
    pub const WRITE: u32 = 2;
    /// It may be executed.
    pub const EXECUTE: u32 = 4;
    /// It is registers: accesses are neither cached nor reordered.
    pub const DEVICE: u32 = 8;
}

/// Maps physical memory: registers of a device, or frames that Python owns. At `address`, where nothing
/// may be mapped yet, or with 0 anywhere; returns where. What is no RAM is mapped as registers.
///
/// # Errors
///
/// `EINVAL`: not in pages. `EPERM`: RAM that Python does not own, or an address outside the range that
/// Python may map. `EEXIST`: something is mapped there. `ENOMEM`.
pub fn map(address: usize, physical: u64, len: usize, protection: u32) -> Result<usize, Errno> {
    let pages = len / PAGE_SIZE;
    let is_whole = |value: u64| value.is_multiple_of(PAGE_SIZE as u64);
    if len == 0 || !is_whole(len as u64) || !is_whole(physical) || !is_whole(address as u64) {
        return Err(Errno::EINVAL);
    }
    let end = physical.checked_add(len as u64).ok_or(Errno::EINVAL)?;
    if (end - 1) >> arch::registers::physical_bits() != 0 {
        return Err(Errno::EINVAL);
    }
    let is_mappable = |start: usize| {
        let stop = start.checked_add(len);
        USER_RANGE.contains(&start) && stop.is_some_and(|stop| stop <= USER_RANGE.end)
    };
    if address != 0 && !is_mappable(address) {
        return Err(Errno::EPERM);
    }
    let first = Frame::containing(physical);
    let block = block_around(first, pages);
    if block.is_none() && overlaps_ram(physical, len as u64) {
        return Err(Errno::EPERM);
    }
    if !frames::has_room(MARGIN + pages / 64) {
        return Err(Errno::ENOMEM);
    }
    let place = if address == 0 {
        MapFlags::empty()
    } else {
        MapFlags::FIXED_NOREPLACE
    };
    let backing = Arc::new(Physical {
        first,
        count: pages,
        _block: block,
    });
    let request = MapRequest {
        address,
        len,
        protection: Protection::from_bits_truncate(protection),
        flags: (MapFlags::SHARED | place).bits(),
        source: Source::File {
            backing,
            is_readable: true,
            is_writable: true,
        },
        offset: 0,
    };
    let mapped = address_space::with(|space| space.map(request))?.address;
    if protection != 0 && address_space::populate(mapped, mapped + len, None).is_err() {
        // It was mapped a moment ago, so nothing else can be wrong with it.
        address_space::with(|space| space.unmap(mapped, len))?;
        return Err(Errno::ENOMEM);
    }
    Ok(mapped)
}

/// Fails unless a range is covered by what [`map`] mapped.
fn check_ours(space: &address_space::Space, start: usize, len: usize) -> Result<(), Errno> {
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    if len == 0 || !start.is_multiple_of(PAGE_SIZE) || !len.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let mut at = start;
    while at < end {
        let area = space.report_area(at).ok_or(Errno::EFAULT)?;
        let is_ours = area
            .backing
            .is_some_and(|backing| backing.identity().device == DEVICE);
        if !is_ours {
            return Err(Errno::EPERM);
        }
        at = area.end;
    }
    Ok(())
}

/// Unmaps what [`map`] mapped, or part of it.
///
/// # Errors
///
/// `EINVAL`: not in pages. `EFAULT`: nothing is mapped there. `EPERM`: something else is.
pub fn unmap(start: usize, len: usize) -> Result<(), Errno> {
    address_space::with(|space| {
        check_ours(space, start, len)?;
        Ok(space.unmap(start, len)?)
    })
}

/// Changes what may be done with what [`map`] mapped, or part of it.
///
/// # Errors
///
/// As for [`unmap`].
pub fn protect(start: usize, len: usize, protection: u32) -> Result<(), Errno> {
    address_space::with(|space| {
        check_ours(space, start, len)?;
        Ok(space.protect(start, len, protection)?)
    })
}

/// Returns the physical address and the flags of the page that a virtual address lies in, if it is mapped.
pub fn entry(address: usize) -> Option<(u64, u32)> {
    let tables = TABLES.get()?;
    let find = || tables.translate(address);
    // The tables of what C and Python map come and go; the kernel's own stay.
    let (entry, offset) = if USER_RANGE.contains(&address) {
        address_space::with(|_| find())?
    } else {
        find()?
    };
    if !entry.is_present() {
        return None;
    }
    let physical = entry.frame().start() + (offset - offset % PAGE_SIZE) as u64;
    let kind = if is_ram(physical) { 0 } else { flags::DEVICE };
    Some((physical, entry.protection().bits() | kind))
}
