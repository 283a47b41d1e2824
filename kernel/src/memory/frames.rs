//! Physical frames: who gets one when they become few, and a small stock per CPU.
//!
//! Free frames are in the buddy allocator or in a CPU's stock; `FREE` counts both, so "memory free"
//! is exact. Whoever lowers `FREE` has a claim on one frame, wherever it lies; so the claim decides,
//! and finding the frame cannot fail.
//!
//! Who may claim what (the reasons are in `docs/memory-map.md`):
//!
//! | claim | leaves behind |
//! |---|---|
//! | ordinary: file content, thread stacks of the kernel | the reserve and all that is promised |
//! | a `MAP_NORESERVE` page | half the reserve and all that is promised |
//! | a stack page, page tables, the kernel heap | nothing |
//! | a promised page | nothing |

use super::buddy::{Buddy, ORDERS};
use super::{PAGE_SIZE, PhysAddr, phys_to_virt};
use crate::arch::page_copy;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use mmap_shim::{Frame, FrameUse};
use smp::{CpuId, IrqGuard, MAX_CPUS, PerCpu, SpinLock};

static BUDDY: SpinLock<Buddy> = SpinLock::new(Buddy::new());
static FREE: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);
static RESERVE: AtomicUsize = AtomicUsize::new(0);
static PROMISED: AtomicUsize = AtomicUsize::new(0);

/// How many frames a CPU's stock can hold, and how many move at a time.
const STOCK: usize = 64;
const BATCH: usize = 32;

struct Stock {
    frames: [Frame; STOCK],
    count: usize,
}

static STOCKS: PerCpu<SpinLock<Stock>> = PerCpu::new(
    [const {
        crossbeam_utils::CachePadded::new(SpinLock::new(Stock {
            frames: [Frame(0); STOCK],
            count: 0,
        }))
    }; MAX_CPUS],
);
/// Set once `smp` knows which CPU runs the caller.
static HAS_CPUS: AtomicBool = AtomicBool::new(false);

/// Gives the allocator its table and its first memory (frame ranges).
///
/// # Safety
///
/// The frames are RAM that the direct map shows and that nobody uses.
#[cfg_attr(
    not(any(test, target_os = "none")),
    expect(dead_code, reason = "only tests set memory up on the host")
)]
pub(super) unsafe fn init(table: &'static mut [u8]) {
    BUDDY.lock().set_table(table);
}

/// Adds the frames `start..end`.
///
/// # Safety
///
/// They are RAM that the direct map shows and that nobody uses.
#[cfg_attr(
    not(any(test, target_os = "none")),
    expect(dead_code, reason = "only tests set memory up on the host")
)]
pub(super) unsafe fn add(start: usize, end: usize) {
    // SAFETY: the caller's contract.
    unsafe { BUDDY.lock().add(start, end) };
    FREE.fetch_add(end - start, Ordering::Release);
    let total = TOTAL.fetch_add(end - start, Ordering::Relaxed) + end - start;
    RESERVE.store(reserve_of(total), Ordering::Relaxed);
}

/// Returns the size of the reserve for a machine with so many frames: a 32nd, 1 MiB to 64 MiB.
///
/// It must cover the page tables of everything that is promised (a 512th), the stacks that grow,
/// and what the kernel heap takes while a program that ran out of memory cleans up.
fn reserve_of(total: usize) -> usize {
    (total / 32).clamp((1 << 20) / PAGE_SIZE, (64 << 20) / PAGE_SIZE)
}

/// Starts the use of per-CPU stocks: called when every running CPU has its per-CPU data.
pub fn enable_cpu_stocks() {
    HAS_CPUS.store(true, Ordering::Release);
}

/// Takes a frame of unspecified content for ordinary use; `None` when the rest is spoken for.
pub fn alloc() -> Option<Frame> {
    claim(1, ordinary_floor()).then(take)
}

/// Takes a frame of zeros for ordinary use.
pub fn alloc_zeroed() -> Option<Frame> {
    alloc().inspect(|&frame| zero(frame))
}

/// Takes a frame of unspecified content though memory is short: for page tables and the like, where a
/// refusal is fatal.
pub fn alloc_critical() -> Option<Frame> {
    claim(1, 0).then(take)
}

/// Takes a frame of unspecified content for a page of C's.
pub fn alloc_page(wanted_for: FrameUse) -> Option<Frame> {
    let floor = match wanted_for {
        FrameUse::Promised | FrameUse::Stack => 0,
        FrameUse::Lazy => RESERVE.load(Ordering::Relaxed) / 2 + PROMISED.load(Ordering::Relaxed),
    };
    claim(1, floor).then(take)
}

/// Gives a frame back.
pub fn free(frame: Frame) {
    put(frame);
    // Release pairs with the Acquire in `claim`: who sees the count finds the frame.
    FREE.fetch_add(1, Ordering::Release);
}

/// Takes 2^`order` frames in a row for ordinary use.
pub fn alloc_block(order: usize) -> Option<Frame> {
    alloc_block_above(order, ordinary_floor())
}

/// Takes 2^`order` frames in a row though memory is short.
pub fn alloc_block_critical(order: usize) -> Option<Frame> {
    alloc_block_above(order, 0)
}

/// Gives 2^`order` frames in a row back.
pub fn free_block(block: Frame, order: usize) {
    // SAFETY: the block came from `alloc_block`, so it is RAM; the caller gives it up.
    unsafe { BUDDY.lock().free(block, order) };
    // Release: as in `free`.
    FREE.fetch_add(1 << order, Ordering::Release);
}

/// Returns how many frames an ordinary request could be promised.
pub(super) fn available() -> usize {
    FREE.load(Ordering::Relaxed)
        .saturating_sub(RESERVE.load(Ordering::Relaxed))
}

/// Notes how many frames are promised to areas and not yet taken.
pub(super) fn set_promised(pages: usize) {
    PROMISED.store(pages, Ordering::Relaxed);
}

/// Returns the number of free frames.
pub fn free_count() -> usize {
    FREE.load(Ordering::Relaxed)
}

/// Returns the number of frames that the allocator manages.
pub fn total_count() -> usize {
    TOTAL.load(Ordering::Relaxed)
}

/// Returns how many frames are promised, and how many are kept as the reserve.
pub fn promised_and_reserve() -> (usize, usize) {
    (
        PROMISED.load(Ordering::Relaxed),
        RESERVE.load(Ordering::Relaxed),
    )
}

/// Returns the free blocks of each order, the CPUs' stocks left out (`/proc/buddyinfo`).
pub fn free_blocks() -> [usize; ORDERS] {
    BUDDY.lock().blocks()
}

/// Returns how many frames the largest free block has, the CPUs' stocks left out.
pub fn largest_free_block() -> usize {
    BUDDY.lock().largest_order().map_or(0, |order| 1 << order)
}

/// Fills a frame with zeros.
pub(super) fn zero(frame: Frame) {
    // SAFETY: the callers have just taken the frame, so nobody else uses it.
    unsafe { page_copy::zero_page(phys_to_virt(PhysAddr(frame.start()))) };
}

/// Copies a frame's content to a frame that the caller has just taken.
pub(super) fn copy(to: Frame, from: Frame) {
    let [to, from] = [to, from].map(|frame| phys_to_virt(PhysAddr(frame.start())));
    // SAFETY: `to` was just taken; `from` is RAM, and a racing writer changes data, no more.
    unsafe { page_copy::copy_page(to, from) };
}

/// Tells whether so many frames could be had for ordinary use: what makes the kernel keep more (a file,
/// a descriptor) is refused before the kernel heap, which cannot be refused, takes the last ones.
pub fn has_room(count: usize) -> bool {
    free_count() >= ordinary_floor().saturating_add(count)
}

fn ordinary_floor() -> usize {
    RESERVE.load(Ordering::Relaxed) + PROMISED.load(Ordering::Relaxed)
}

/// Claims frames if more than `floor` stay behind.
fn claim(count: usize, floor: usize) -> bool {
    let less = |free: usize| free.checked_sub(count).filter(|&rest| rest >= floor);
    // Acquire pairs with the Release in `free`.
    FREE.fetch_update(Ordering::Acquire, Ordering::Relaxed, less)
        .is_ok()
}

/// Finds the frame for a claim.
fn take() -> Frame {
    loop {
        if let Some(frame) = take_here().or_else(take_elsewhere) {
            return frame;
        }
        // A frame is on its way from one stock to another, or into the buddy allocator.
        core::hint::spin_loop();
    }
}

fn take_here() -> Option<Frame> {
    if !HAS_CPUS.load(Ordering::Acquire) {
        return BUDDY.lock().alloc(0);
    }
    let irq = IrqGuard::new();
    STOCKS.with(&irq, |stock| {
        let mut stock = stock.lock();
        if stock.count == 0 {
            let mut buddy = BUDDY.lock();
            while stock.count < BATCH {
                let Some(frame) = buddy.alloc(0) else { break };
                let count = stock.count;
                stock.frames[count] = frame;
                stock.count += 1;
            }
        }
        let last = stock.count.checked_sub(1)?;
        stock.count = last;
        Some(stock.frames[last])
    })
}

/// Looks into the stocks of all CPUs: the buddy allocator is empty.
#[cold]
fn take_elsewhere() -> Option<Frame> {
    (0..MAX_CPUS).find_map(|cpu| {
        let mut stock = STOCKS[CpuId(cpu as u32)].lock();
        let last = stock.count.checked_sub(1)?;
        stock.count = last;
        Some(stock.frames[last])
    })
}

fn put(frame: Frame) {
    if !HAS_CPUS.load(Ordering::Acquire) {
        // SAFETY: the frame came from `take`, so it is RAM; the caller gives it up.
        return unsafe { BUDDY.lock().free(frame, 0) };
    }
    let irq = IrqGuard::new();
    STOCKS.with(&irq, |stock| {
        let mut stock = stock.lock();
        if stock.count == STOCK {
            let mut buddy = BUDDY.lock();
            for _ in 0..BATCH {
                stock.count -= 1;
                // SAFETY: frames in a stock are free RAM.
                unsafe { buddy.free(stock.frames[stock.count], 0) };
            }
        }
        let count = stock.count;
        stock.frames[count] = frame;
        stock.count += 1;
    });
}

/// Claims a block. Frames of it may lie in stocks, so the claim can succeed and the search fail.
fn alloc_block_above(order: usize, floor: usize) -> Option<Frame> {
    if !claim(1 << order, floor) {
        return None;
    }
    let mut found = BUDDY.lock().alloc(order);
    if found.is_none() {
        drain_stocks();
        found = BUDDY.lock().alloc(order);
    }
    if found.is_none() {
        FREE.fetch_add(1 << order, Ordering::Release);
    }
    found
}

/// Brings all stocks back to the buddy allocator, so that blocks can form.
#[cold]
fn drain_stocks() {
    for cpu in 0..MAX_CPUS {
        let mut stock = STOCKS[CpuId(cpu as u32)].lock();
        let mut buddy = BUDDY.lock();
        while stock.count > 0 {
            stock.count -= 1;
            // SAFETY: frames in a stock are free RAM.
            unsafe { buddy.free(stock.frames[stock.count], 0) };
        }
    }
}

/// A frame of the kernel's own, freed when it is dropped.
#[derive(Debug)]
pub struct OwnedPage(Frame);

impl OwnedPage {
    /// Takes a page of zeros; `None` when memory is short.
    pub fn new_zeroed() -> Option<OwnedPage> {
        alloc_zeroed().map(OwnedPage)
    }

    /// Returns its frame.
    pub fn frame(&self) -> Frame {
        self.0
    }

    /// Returns its first byte in the direct map.
    pub fn as_ptr(&self) -> *mut u8 {
        phys_to_virt(PhysAddr(self.0.start()))
    }
}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        free(self.0);
    }
}

/// The pretended memory of the host, for tests of everything that takes frames.
#[cfg(test)]
pub mod testing {
    use super::*;
    use std::sync::{Mutex, MutexGuard, Once};

    static TURN: Mutex<()> = Mutex::new(());

    /// Sets frames 1024 to 8191 up as free, and gives the caller the machine for itself, so that it
    /// can compare counts.
    pub fn machine() -> MutexGuard<'static, ()> {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: the pretended memory is there, and the range is for this allocator alone.
            unsafe {
                init(vec![0; 8192].leak());
                add(1024, 8192);
            }
            enable_cpu_stocks();
        });
        TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::machine;
    use super::*;

    #[test]
    fn frames_are_handed_out_once_by_all_threads_and_come_back() {
        let _turn = machine();
        let before = free_count();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..50 {
                        let frames: Vec<Frame> = (0..100).filter_map(|_| alloc_zeroed()).collect();
                        assert_eq!(frames.len(), 100);
                        for frame in &frames {
                            let word = phys_to_virt(PhysAddr(frame.start())).cast::<usize>();
                            // SAFETY: the frame is ours.
                            unsafe {
                                assert_eq!(word.read(), 0, "a frame of zeros");
                                word.write(frame.0);
                            }
                        }
                        for frame in frames {
                            let word = phys_to_virt(PhysAddr(frame.start())).cast::<usize>();
                            // SAFETY: the frame is ours.
                            assert_eq!(unsafe { word.read() }, frame.0, "nobody else wrote there");
                            free(frame);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no assertion failed");
        }
        assert_eq!(free_count(), before);
    }

    #[test]
    fn the_reserve_is_for_those_who_need_it() {
        let _turn = machine();
        assert_eq!(reserve_of(65536), 2048);
        assert_eq!(reserve_of(0), 256);
        assert_eq!(reserve_of(16 << 20), 16384);
        let (before, reserve) = (free_count(), promised_and_reserve().1);
        set_promised(100);
        let take_all = |alloc: &dyn Fn() -> Option<Frame>| -> Vec<Frame> {
            core::iter::from_fn(alloc).collect()
        };
        let ordinary = take_all(&alloc);
        assert_eq!(free_count(), reserve + 100);
        let lazy = take_all(&|| alloc_page(FrameUse::Lazy));
        assert_eq!(free_count(), reserve / 2 + 100);
        assert_eq!(alloc_block(0), None);
        let critical = take_all(&alloc_critical);
        assert_eq!(free_count(), 0);
        assert_eq!(alloc_page(FrameUse::Promised), None);
        set_promised(0);
        ordinary
            .into_iter()
            .chain(lazy)
            .chain(critical)
            .for_each(free);
        assert_eq!(free_count(), before);
    }

    #[test]
    fn a_block_forms_though_its_frames_lie_in_stocks() {
        let _turn = machine();
        let before = free_count();
        let all: Vec<Frame> = core::iter::from_fn(alloc_critical).collect();
        // These two are neighbours, and go into this CPU's stock: the buddy allocator has nothing.
        let (pair, rest): (Vec<Frame>, Vec<Frame>) =
            all.into_iter().partition(|frame| frame.0 / 2 == 1000);
        assert_eq!(pair.len(), 2);
        pair.into_iter().for_each(free);
        assert_eq!(alloc_block_critical(2), None);
        let block = alloc_block_critical(1).expect("two in a row");
        assert_eq!(block, Frame(2000));
        free_block(block, 1);
        rest.into_iter().for_each(free);
        assert_eq!(free_count(), before);
    }
}
