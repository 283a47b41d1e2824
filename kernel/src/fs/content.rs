//! The bytes of a regular file: pages that are allocated when written, over an optional part
//! of the system image that is read where it lies.
//!
//! A page is found in this order: in `pages`, in `image`, else it is a hole of zeros. Bytes of
//! a page past the end of the file are zero, or become zero before the file grows over them.
//!
//! `writer` is a sleeping lock over everything that changes the content, also while bytes come
//! from C's memory. A page fault in that copy may need a page of this same file, so
//! [`Content::mapped_page`], which the fault path calls, takes the spin lock `pages` alone.

use super::inode::FsStat;
use super::io::{Sink, Source};
use super::page::{PAGE_SIZE, Page};
use crate::libc::errno::{Errno, SysResult};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use mmap_shim::{BackingError, Frame};
use smp::{Mutex, SpinLock};

const PAGE: u64 = PAGE_SIZE as u64;

/// The pages of all file systems together.
static USED: AtomicU64 = AtomicU64::new(0);

/// Returns how many pages all files in memory have, the system image not counted (`Shmem`).
pub fn used_pages() -> u64 {
    USED.load(Ordering::Relaxed)
}

/// The pages that a file system has and may have.
pub struct PageBudget {
    used: AtomicU64,
    limit: u64,
    /// Pages of the system image, which lie elsewhere and count as taken.
    image: AtomicU64,
}

impl PageBudget {
    /// Allows `limit` pages.
    pub const fn new(limit: u64) -> Self {
        PageBudget {
            used: AtomicU64::new(0),
            limit,
            image: AtomicU64::new(0),
        }
    }

    fn take(&self) -> Result<(), Errno> {
        let more = |used| (used < self.limit).then_some(used + 1);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        {
            Ok(_) => {
                USED.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(_) => Err(Errno::ENOSPC),
        }
    }

    fn give_back(&self, count: u64) {
        USED.fetch_sub(count, Ordering::Relaxed);
        self.used.fetch_sub(count, Ordering::Relaxed);
    }

    /// Counts a file of the system image.
    pub fn add_image(&self, bytes: usize) {
        self.image
            .fetch_add((bytes as u64).div_ceil(PAGE), Ordering::Relaxed);
    }

    /// Fills in the numbers of statfs(2).
    pub fn fill(&self, stat: &mut FsStat) {
        stat.blocks = self.limit + self.image.load(Ordering::Relaxed);
        stat.blocks_free = self.limit.saturating_sub(self.used.load(Ordering::Relaxed));
    }
}

struct Pages {
    own: BTreeMap<u64, Page>,
    image: &'static [u8],
}

/// The content of one file.
pub struct Content {
    writer: Mutex<()>,
    size: AtomicU64,
    pages: SpinLock<Pages>,
    budget: Arc<PageBudget>,
}

/// What lies at a page index.
enum View {
    Own(Page),
    /// Part of the image from the offset asked for on; more than a page if no own page can follow.
    Image(&'static [u8]),
    Hole,
}

impl Content {
    /// Makes an empty content that takes its pages from `budget`.
    pub fn new(budget: Arc<PageBudget>) -> Self {
        Self::over_image(&[], budget)
    }

    /// Makes a content that starts as these bytes, which stay where they are.
    pub fn over_image(image: &'static [u8], budget: Arc<PageBudget>) -> Self {
        Content {
            writer: Mutex::new(()),
            size: AtomicU64::new(image.len() as u64),
            pages: SpinLock::new(Pages {
                own: BTreeMap::new(),
                image,
            }),
            budget,
        }
    }

    /// Makes an untouched content start as these bytes.
    pub fn set_image(&self, image: &'static [u8]) {
        self.pages.lock().image = image;
        self.size.store(image.len() as u64, Ordering::Release);
    }

    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Returns the storage taken, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        let pages = self.pages.lock();
        let image_pages = (pages.image.len() as u64).div_ceil(PAGE);
        let over_image = if image_pages == 0 {
            0
        } else {
            pages.own.range(..image_pages).count() as u64
        };
        (pages.own.len() as u64 + image_pages - over_image) * (PAGE / 512)
    }

    fn view(&self, offset: u64) -> View {
        let pages = self.pages.lock();
        let index = offset / PAGE;
        if let Some(page) = pages.own.get(&index) {
            return View::Own(page.clone());
        }
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| pages.image.get(offset..));
        match rest {
            None | Some([]) => View::Hole,
            Some(rest) if pages.own.is_empty() => View::Image(rest),
            Some(rest) => View::Image(&rest[..rest.len().min((PAGE - offset % PAGE) as usize)]),
        }
    }

    /// Reads at `offset`; 0 at or past the end.
    pub fn read_at(&self, offset: u64, to: &mut dyn Sink) -> SysResult {
        let end = self
            .size()
            .min(offset.saturating_add(to.remaining() as u64));
        let mut at = offset;
        while at < end {
            let in_page = (at % PAGE) as usize;
            let len = (PAGE_SIZE - in_page).min((end - at) as usize);
            let step = match self.view(at) {
                View::Own(page) => page.read(in_page, len, to).map(|()| len),
                View::Image(bytes) => {
                    let len = bytes.len().min((end - at) as usize);
                    to.put(&bytes[..len]).map(|()| len)
                }
                View::Hole => to.put_zeros(len).map(|()| len),
            };
            match step {
                Ok(len) => at += len as u64,
                Err(errno) => return partial(at.saturating_sub(offset), errno),
            }
        }
        Ok(at.saturating_sub(offset) as usize)
    }

    /// Writes at `offset`; a gap before it becomes a hole.
    pub fn write_at(&self, offset: u64, from: &mut dyn Source, max_size: u64) -> SysResult {
        let _writer = self.writer.lock();
        self.write_locked(offset, from, max_size)
    }

    /// Writes at the end; returns the count and the new end.
    pub fn append(&self, from: &mut dyn Source, max_size: u64) -> Result<(usize, u64), Errno> {
        let _writer = self.writer.lock();
        let offset = self.size();
        let count = self.write_locked(offset, from, max_size)?;
        Ok((count, offset + count as u64))
    }

    fn write_locked(&self, offset: u64, from: &mut dyn Source, max_size: u64) -> SysResult {
        if from.remaining() == 0 {
            return Ok(0);
        }
        if offset >= max_size {
            return Err(Errno::EFBIG);
        }
        let end = max_size.min(offset.saturating_add(from.remaining() as u64));
        if end > self.size() {
            self.zero_tail(self.size());
        }
        let mut at = offset;
        while at < end {
            let in_page = (at % PAGE) as usize;
            let len = (PAGE_SIZE - in_page).min((end - at) as usize);
            let step = self
                .page_to_write(at / PAGE)
                .and_then(|page| page.write(in_page, len, from));
            if let Err(errno) = step {
                return partial(at - offset, errno);
            }
            at += len as u64;
            self.size.fetch_max(at, Ordering::AcqRel);
        }
        Ok((at - offset) as usize)
    }

    /// Returns the frame that C sees when it maps the file here, made if there was none: for the
    /// fault path, so it takes no sleeping lock.
    ///
    /// The frame stays the file's: before it is given back, `truncate` and `punch` call `forget`.
    pub fn mapped_page(&self, index: u64) -> Result<Frame, BackingError> {
        let is_past_end = || index >= self.size().div_ceil(PAGE);
        if is_past_end() {
            return Err(BackingError::PastEnd);
        }
        let page = self
            .page_unless(index, is_past_end)
            .map_err(|_| BackingError::NoMemory)?;
        page.map(|page| page.frame()).ok_or(BackingError::PastEnd)
    }

    fn page_to_write(&self, index: u64) -> Result<Page, Errno> {
        let page = self.page_unless(index, || false)?;
        Ok(page.expect("nothing forbids this page"))
    }

    /// Returns the page at `index`, made if there was none; `None` if `is_forbidden` says so while
    /// the pages are locked, so that none is added behind a truncation.
    fn page_unless(
        &self,
        index: u64,
        is_forbidden: impl Fn() -> bool,
    ) -> Result<Option<Page>, Errno> {
        if let Some(page) = self.pages.lock().own.get(&index) {
            return Ok(Some(page.clone()));
        }
        self.budget.take()?;
        let fresh = Page::zeroed().inspect_err(|_| self.budget.give_back(1))?;
        let mut pages = self.pages.lock();
        let other = pages.own.get(&index).cloned();
        if other.is_some() || is_forbidden() {
            drop(pages);
            self.budget.give_back(1);
            return Ok(other);
        }
        let start = usize::try_from(index.saturating_mul(PAGE)).unwrap_or(usize::MAX);
        if let Some(rest) = pages.image.get(start..) {
            fresh.fill(0, &rest[..rest.len().min(PAGE_SIZE)]);
        }
        pages.own.insert(index, fresh.clone());
        Ok(Some(fresh))
    }

    /// Zeroes what lies behind `size` in its page: a map may have written there.
    fn zero_tail(&self, size: u64) {
        let in_page = (size % PAGE) as usize;
        if in_page == 0 {
            return;
        }
        let page = self.pages.lock().own.get(&(size / PAGE)).cloned();
        if let Some(page) = page {
            page.zero(in_page, PAGE_SIZE - in_page);
        }
    }

    /// Makes the content this long. `forget` has page tables forget a range of pages.
    pub fn truncate(&self, size: u64, forget: impl FnOnce(Range<u64>)) {
        let _writer = self.writer.lock();
        let old = self.size();
        if size >= old {
            self.zero_tail(old);
            self.size.store(size, Ordering::Release);
            return;
        }
        self.size.store(size, Ordering::Release);
        let dropped = {
            let mut pages = self.pages.lock();
            let keep = pages
                .image
                .len()
                .min(usize::try_from(size).unwrap_or(usize::MAX));
            pages.image = &pages.image[..keep];
            pages.own.split_off(&size.div_ceil(PAGE))
        };
        if !dropped.is_empty() {
            forget(size.div_ceil(PAGE)..old.div_ceil(PAGE));
        }
        self.budget.give_back(dropped.len() as u64);
        self.zero_tail(size);
    }

    /// Takes the pages of a range of the file, so that writing there cannot fail (fallocate(2) mode 0).
    pub fn reserve(&self, offset: u64, len: u64, keeps_size: bool) -> Result<(), Errno> {
        let _writer = self.writer.lock();
        let end = offset.saturating_add(len);
        if end > self.size() {
            self.zero_tail(self.size());
        }
        for index in offset / PAGE..end.div_ceil(PAGE) {
            let is_image = ((index * PAGE) as usize) < self.pages.lock().image.len();
            if !is_image {
                self.page_to_write(index)?;
            }
        }
        if !keeps_size {
            self.size.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Makes a range read as zeros and gives its whole pages back (fallocate(2)
    /// FALLOC_FL_PUNCH_HOLE). `forget` has page tables forget a range of pages.
    pub fn punch(&self, offset: u64, len: u64, forget: impl Fn(Range<u64>)) -> Result<(), Errno> {
        let _writer = self.writer.lock();
        // Pages can lie past the end of the file: `reserve` may have put them there.
        let last = self
            .pages
            .lock()
            .own
            .last_key_value()
            .map_or(0, |(index, _)| index + 1);
        let end = offset
            .saturating_add(len)
            .min(self.size().div_ceil(PAGE).max(last) * PAGE);
        let mut at = offset;
        while at < end {
            let in_page = (at % PAGE) as usize;
            let len = (PAGE_SIZE - in_page).min((end - at) as usize);
            let is_image = (at as usize) < self.pages.lock().image.len();
            if len == PAGE_SIZE && !is_image {
                let page = self.pages.lock().own.remove(&(at / PAGE));
                if page.is_some() {
                    forget(at / PAGE..at / PAGE + 1);
                    self.budget.give_back(1);
                }
            } else if !matches!(self.view(at), View::Hole) {
                self.page_to_write(at / PAGE)?.zero(in_page, len);
            }
            at += len as u64;
        }
        Ok(())
    }

    /// Returns where data, or a hole, begins at or after `offset` (lseek(2)).
    pub fn seek_sparse(&self, offset: u64, wants_hole: bool) -> Result<u64, Errno> {
        let size = self.size();
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let pages = self.pages.lock();
        let image_end = (pages.image.len() as u64).div_ceil(PAGE);
        let mut index = offset / PAGE;
        let found = if wants_hole {
            index = index.max(image_end);
            while pages.own.contains_key(&index) {
                index += 1;
            }
            (index * PAGE).min(size)
        } else {
            if index >= image_end {
                index = *pages.own.range(index..).next().ok_or(Errno::ENXIO)?.0;
            }
            index * PAGE
        };
        if !wants_hole && found >= size {
            return Err(Errno::ENXIO);
        }
        Ok(found.max(offset))
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        let pages = core::mem::take(&mut self.pages.lock().own);
        self.budget.give_back(pages.len() as u64);
    }
}

/// What a transfer gives that failed after `done` bytes: the count, if there is one.
fn partial(done: u64, errno: Errno) -> SysResult {
    if done > 0 {
        Ok(done as usize)
    } else {
        Err(errno)
    }
}
