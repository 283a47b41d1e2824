//! What the address-space map needs of the machine.

use crate::{PAGE_SIZE, Protection};

/// One page of physical memory, by number: its physical address divided by [`PAGE_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub usize);

impl Frame {
    /// Returns the frame that contains a physical address.
    pub const fn containing(physical: u64) -> Frame {
        Frame(physical as usize / PAGE_SIZE)
    }

    /// Returns the physical address of the first byte.
    pub const fn start(self) -> u64 {
        (self.0 * PAGE_SIZE) as u64
    }
}

/// No frame was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Who frees the frame of a mapped page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The page itself: the frame is freed when the page is unmapped.
    Page,
    /// A [`crate::Backing`], or nobody (the frame of zeros).
    Object,
}

/// What a page is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The frame.
    pub frame: Frame,
    /// Who frees it.
    pub owner: Owner,
    /// What the hardware lets through now.
    pub protection: Protection,
}

/// What a frame is wanted for, so that the last ones go where they are owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUse {
    /// A page that was promised when its area was made: there is no way left to say no.
    Promised,
    /// A page of a thread's stack: not promised, but a refusal kills the program.
    Stack,
    /// A page of a `MAP_NORESERVE` area.
    Lazy,
}

/// How many pages of a range are mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those whose frame is the page's own.
    pub owned: usize,
    /// Those that show a frame of a [`crate::Backing`].
    pub borrowed: usize,
}

/// Frames and page tables. Addresses are page-aligned; ranges are `start..end`.
pub trait PageMapper {
    /// Returns how many frames could be handed out before the reserve for faults is touched.
    fn available_pages(&self) -> usize;

    /// Learns how many frames the areas have been promised but not yet taken, so that other users
    /// of memory leave them alone.
    fn set_promised(&mut self, pages: usize);

    /// Returns a frame full of zeros.
    fn alloc_zeroed(&mut self, wanted_for: FrameUse) -> Option<Frame>;

    /// Returns a new frame with the content of `frame`.
    fn alloc_copy(&mut self, frame: Frame, wanted_for: FrameUse) -> Option<Frame>;

    /// Takes back a frame that was never mapped.
    fn free(&mut self, frame: Frame);

    /// Returns the frame of zeros that all untouched pages share for reading.
    fn zero_frame(&self) -> Frame;

    /// Returns what a page is mapped to, `PROT_NONE` pages included.
    fn lookup(&self, page: usize) -> Option<Leaf>;

    /// Maps a page that is not mapped.
    fn map(&mut self, page: usize, leaf: Leaf) -> Result<(), NoMemory>;

    /// Gives a mapped page another frame or more rights; when it returns, no CPU sees the old frame.
    fn replace(&mut self, page: usize, leaf: Leaf);

    /// Makes this CPU look at the page tables again: another CPU has mapped the page already.
    fn refresh(&mut self, page: usize);

    /// Unmaps a range and frees the frames that its pages own, after every CPU has forgotten them.
    ///
    /// With `release_tables`, page tables that become empty are freed as well: the range is
    /// not about to be used again.
    fn unmap(&mut self, start: usize, end: usize, release_tables: bool) -> Counts;

    /// Changes what the hardware lets through for the mapped pages of a range.
    ///
    /// With `copy_on_write`, pages whose frame is borrowed stay read-only.
    fn protect(&mut self, start: usize, end: usize, protection: Protection, copy_on_write: bool);

    /// Moves the mapped pages of a range to where nothing is mapped.
    ///
    /// On failure nothing has changed.
    fn relocate(&mut self, from: usize, to: usize, len: usize) -> Result<(), NoMemory>;

    /// Counts the mapped pages of a range.
    fn count(&self, start: usize, end: usize) -> Counts;
}
