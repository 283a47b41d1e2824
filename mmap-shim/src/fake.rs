//! A machine for the tests: frames with one word of content, page tables as a map, and checks that
//! nothing is used that is free.

use crate::{
    Access, AddressSpace, Backing, BackingError, Counts, FaultError, Frame, FrameUse, Identity,
    Leaf, Limits, NoMemory, Owner, PAGE_SIZE, PageMapper, Policy, Protection,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Frame contents, shared between the mapper and the files.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<Frame, u64>>>);

static NEXT_FRAME: AtomicU64 = AtomicU64::new(1);

impl Memory {
    pub fn alloc(&self, content: u64) -> Frame {
        let frame = Frame(NEXT_FRAME.fetch_add(1, Ordering::Relaxed) as usize);
        self.0.lock().unwrap().insert(frame, content);
        frame
    }

    pub fn free(&self, frame: Frame) {
        self.0
            .lock()
            .unwrap()
            .remove(&frame)
            .expect("a frame is freed once");
    }

    pub fn get(&self, frame: Frame) -> u64 {
        self.0.lock().unwrap()[&frame]
    }

    pub fn set(&self, frame: Frame, content: u64) {
        *self
            .0
            .lock()
            .unwrap()
            .get_mut(&frame)
            .expect("the frame is in use") = content;
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

pub struct FakeMapper {
    pub memory: Memory,
    pub pages: BTreeMap<usize, Leaf>,
    zeros: Frame,
    /// Frames that may still be handed out.
    pub free: usize,
    pub reserve: usize,
    pub promised: usize,
    /// How often CPUs were made to forget something.
    pub flushes: usize,
}

impl FakeMapper {
    pub fn new(free: usize, reserve: usize) -> Self {
        let memory = Memory::default();
        let zeros = memory.alloc(0);
        FakeMapper {
            memory,
            pages: BTreeMap::new(),
            zeros,
            free,
            reserve,
            promised: 0,
            flushes: 0,
        }
    }

    fn alloc(&mut self, content: u64, wanted_for: FrameUse) -> Option<Frame> {
        let floor = if wanted_for == FrameUse::Lazy {
            self.reserve / 2 + self.promised
        } else {
            0
        };
        if self.free <= floor {
            return None;
        }
        self.free -= 1;
        Some(self.memory.alloc(content))
    }

    fn note(&self, counts: &mut Counts, leaf: Leaf) {
        match leaf.owner {
            Owner::Page => counts.owned += 1,
            Owner::Object => counts.borrowed += usize::from(leaf.frame != self.zeros),
        }
    }
}

impl PageMapper for FakeMapper {
    fn available_pages(&self) -> usize {
        self.free.saturating_sub(self.reserve)
    }

    fn set_promised(&mut self, pages: usize) {
        self.promised = pages;
    }

    fn alloc_zeroed(&mut self, wanted_for: FrameUse) -> Option<Frame> {
        self.alloc(0, wanted_for)
    }

    fn alloc_copy(&mut self, frame: Frame, wanted_for: FrameUse) -> Option<Frame> {
        let content = self.memory.get(frame);
        self.alloc(content, wanted_for)
    }

    fn free(&mut self, frame: Frame) {
        self.memory.free(frame);
        self.free += 1;
    }

    fn zero_frame(&self) -> Frame {
        self.zeros
    }

    fn lookup(&self, page: usize) -> Option<Leaf> {
        assert!(page.is_multiple_of(PAGE_SIZE));
        self.pages.get(&page).copied()
    }

    fn map(&mut self, page: usize, leaf: Leaf) -> Result<(), NoMemory> {
        assert!(page.is_multiple_of(PAGE_SIZE));
        assert!(
            self.pages.insert(page, leaf).is_none(),
            "only what is not mapped is mapped"
        );
        Ok(())
    }

    fn replace(&mut self, page: usize, leaf: Leaf) {
        self.flushes += 1;
        self.pages
            .insert(page, leaf)
            .expect("only what is mapped is replaced");
    }

    fn refresh(&mut self, _page: usize) {}

    fn unmap(&mut self, start: usize, end: usize, _release_tables: bool) -> Counts {
        let mut counts = Counts::default();
        let pages: Vec<usize> = self
            .pages
            .range(start..end)
            .map(|(&page, _)| page)
            .collect();
        self.flushes += usize::from(!pages.is_empty());
        for page in pages {
            let leaf = self.pages.remove(&page).unwrap();
            self.note(&mut counts, leaf);
            if leaf.owner == Owner::Page {
                self.free(leaf.frame);
            }
        }
        counts
    }

    fn protect(&mut self, start: usize, end: usize, protection: Protection, copy_on_write: bool) {
        for (_, leaf) in self.pages.range_mut(start..end) {
            let keeps = copy_on_write && leaf.owner == Owner::Object;
            leaf.protection = if keeps {
                protection.without_writing()
            } else {
                protection
            };
        }
    }

    fn relocate(&mut self, from: usize, to: usize, len: usize) -> Result<(), NoMemory> {
        let pages: Vec<usize> = self
            .pages
            .range(from..from + len)
            .map(|(&page, _)| page)
            .collect();
        for page in pages {
            let leaf = self.pages.remove(&page).unwrap();
            self.map(page - from + to, leaf)?;
        }
        Ok(())
    }

    fn count(&self, start: usize, end: usize) -> Counts {
        let mut counts = Counts::default();
        for (_, &leaf) in self.pages.range(start..end) {
            self.note(&mut counts, leaf);
        }
        counts
    }
}

/// A file: each page holds one word.
pub struct FakeFile {
    memory: Memory,
    state: Mutex<FileState>,
    inode: u64,
    pub writes: AtomicU64,
}

struct FileState {
    len: u64,
    pages: BTreeMap<u64, Frame>,
}

impl FakeFile {
    /// Makes a file of `pages` pages; page i holds `first + i`.
    pub fn new(memory: &Memory, inode: u64, pages: u64, first: u64) -> Arc<FakeFile> {
        let frames = (0..pages)
            .map(|page| (page, memory.alloc(first + page)))
            .collect();
        let state = Mutex::new(FileState {
            len: pages * PAGE_SIZE as u64,
            pages: frames,
        });
        Arc::new(FakeFile {
            memory: memory.clone(),
            state,
            inode,
            writes: AtomicU64::new(0),
        })
    }

    pub fn content(&self, page: u64) -> u64 {
        self.memory.get(self.state.lock().unwrap().pages[&page])
    }

    /// Cuts the file, as a file system does it.
    pub fn truncate(&self, space: &mut AddressSpace<FakeMapper>, len: u64) {
        let first_gone = len.div_ceil(PAGE_SIZE as u64);
        let gone = {
            let mut state = self.state.lock().unwrap();
            state.len = len;
            state.pages.split_off(&first_gone)
        };
        space.forget_backing(self.identity(), first_gone..u64::MAX);
        for frame in gone.into_values() {
            self.memory.free(frame);
        }
    }

    /// Punches a hole of one page.
    pub fn punch(&self, space: &mut AddressSpace<FakeMapper>, page: u64) {
        let gone = self.state.lock().unwrap().pages.remove(&page);
        space.forget_backing(self.identity(), page..page + 1);
        if let Some(frame) = gone {
            self.memory.free(frame);
        }
    }
}

impl Backing for FakeFile {
    fn page(&self, index: u64) -> Result<Frame, BackingError> {
        let mut state = self.state.lock().unwrap();
        if index >= state.len.div_ceil(PAGE_SIZE as u64) {
            return Err(BackingError::PastEnd);
        }
        Ok(*state
            .pages
            .entry(index)
            .or_insert_with(|| self.memory.alloc(0)))
    }

    fn len(&self) -> u64 {
        self.state.lock().unwrap().len
    }

    fn identity(&self) -> Identity {
        Identity {
            device: 1,
            inode: self.inode,
        }
    }

    fn path(&self) -> String {
        format!("/file{}", self.inode)
    }

    fn mark_written(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }
}

pub const START: usize = 0x10000;
pub const END: usize = START + 256 * PAGE_SIZE;

pub fn limits() -> Limits {
    Limits {
        start: START,
        end: END,
        areas: 60,
        stack: 32 * PAGE_SIZE,
        stack_gap: 4 * PAGE_SIZE,
    }
}

pub fn policy() -> Policy {
    Policy {
        large: 64,
        margin: 16,
        certain: 0,
        light_divisor: 4,
        grace: 8,
        plenty: 1000,
    }
}

pub type Space = AddressSpace<FakeMapper>;

/// A space of 256 pages on a machine with plenty of memory.
pub fn space() -> Space {
    AddressSpace::new(FakeMapper::new(100_000, 100), limits(), policy())
}

impl Space {
    /// Does what a CPU does with an access, and returns the frame it reaches.
    pub fn touch(&mut self, address: usize, access: Access) -> Result<Frame, FaultError> {
        let page = address - address % PAGE_SIZE;
        for _ in 0..2 {
            if let Some(leaf) = self.mapper.pages.get(&page)
                && access.is_allowed(leaf.protection)
            {
                return Ok(leaf.frame);
            }
            self.handle_fault(address, access)?;
        }
        panic!("a resolved fault lets the access through");
    }

    pub fn read(&mut self, address: usize) -> Result<u64, FaultError> {
        let frame = self.touch(address, Access::Read)?;
        Ok(self.mapper.memory.get(frame))
    }

    pub fn write(&mut self, address: usize, content: u64) -> Result<(), FaultError> {
        let frame = self.touch(address, Access::Write)?;
        self.mapper.memory.set(frame, content);
        Ok(())
    }

    /// Checks everything that must always hold.
    pub fn check(&self) {
        let mut last_end = 0;
        let mut used = 0;
        let mut promised_full = 0;
        let mut promised_light = 0;
        let mut counts = Counts::default();
        for (&start, area) in &self.areas {
            assert!(
                start >= last_end && start < area.end,
                "areas are apart and not empty"
            );
            assert!(start >= START && area.end <= END);
            assert!(!self.free.is_free(start, start + PAGE_SIZE));
            last_end = area.end;
            let pages = (area.end - start) / PAGE_SIZE;
            used += pages;
            let in_area = self.mapper.count(start, area.end);
            counts.owned += in_area.owned;
            counts.borrowed += in_area.borrowed;
            assert_eq!(
                area.is_accountable(),
                area.charge != crate::commit::Charge::None
            );
            match area.charge {
                crate::commit::Charge::None => {}
                crate::commit::Charge::Light => promised_light += pages - in_area.owned,
                crate::commit::Charge::Full => promised_full += pages - in_area.owned,
            }
            for (page, leaf) in self.mapper.pages.range(start..area.end) {
                let allowed = match leaf.owner {
                    Owner::Page => area.protection,
                    Owner::Object if area.copies_on_write() => area.protection.without_writing(),
                    Owner::Object => area.protection,
                };
                assert_eq!(
                    leaf.protection, allowed,
                    "page {page:#x} has its area's rights"
                );
            }
        }
        let gaps: usize = self
            .free
            .gaps()
            .map(|(start, end)| (end - start) / PAGE_SIZE)
            .sum();
        assert_eq!(
            used + gaps,
            (END - START) / PAGE_SIZE,
            "every page is in an area or a gap"
        );
        assert_eq!(self.usage.mapped, used);
        assert_eq!(
            (self.usage.owned, self.usage.borrowed),
            (counts.owned, counts.borrowed)
        );
        let all = self.mapper.count(0, usize::MAX);
        assert_eq!(all, counts, "pages are mapped in areas only");
        assert_eq!(self.commit.outstanding(), promised_full + promised_light);
        assert_eq!(
            self.mapper.promised,
            promised_full + promised_light / policy().light_divisor
        );
        let files = self
            .areas
            .values()
            .filter(|area| matches!(area.kind, crate::area::Kind::File { .. }))
            .count();
        assert_eq!(self.file_areas, files);
    }
}
