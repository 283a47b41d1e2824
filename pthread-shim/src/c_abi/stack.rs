//! Memory for threads: guard, stack, thread-local data and the thread's block in one mapping.
//!
//! ```text
//!   base                                                                      base + size
//!   │ guard, no access │ stack, committed as it is touched ◄── │ TLS, block │ keys │
//! ```
//!
//! Mappings of ended threads are kept for new ones: mapping and unmapping stacks costs two
//! calls and a TLB shootdown each. A detached thread hands its mapping over while it still
//! runs on it; it may be taken when the kernel has cleared the thread id in the block.

use core::ptr;

use linux_raw_sys::general::{__NR_madvise, MADV_DONTNEED};

use super::{keys::Values, musl::libc, thread::Thread};
use crate::{
    futex::Scope,
    lock,
    prim::{AtomicU32, Cell, Ordering},
    sys::{self, Errno},
};

/// How much stack a thread gets whose creator asked for less.
///
/// CPython takes for granted that `Py_C_STACK_SIZE` (4,000,000 bytes, or what configure
/// measured) lie below the place where a thread enters it, whatever
/// `threading.stack_size()` was told. Untouched stack costs nothing.
pub const SMALLEST: usize = 8 << 20;

/// How many mappings of ended threads are kept.
const KEPT: u32 = 256;

/// How much of a kept stack stays committed; the next thread touches that much anyway.
const KEPT_COMMITTED: usize = 32 << 10;

unsafe extern "C" {
    /// Copies the image's thread-local data into zeroed memory and returns the block in it.
    fn __copy_tls(memory: *mut u8) -> *const Thread;
}

/// A thread's memory, before the thread.
pub struct Memory {
    /// The thread's block, set up as far as its place goes.
    pub thread: &'static Thread,
    /// Where the stack begins: its upper end.
    pub stack_top: *mut u8,
}

fn round_up(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(libc().page_size.get())
}

/// What lies above a stack: thread-local data and block, then the values of the keys.
fn top_size() -> usize {
    (libc().tls_size.get() + size_of::<Values>()).next_multiple_of(16)
}

/// Returns memory for a thread with a stack of its own.
///
/// # Errors
///
/// What `mmap(2)` lists.
pub fn allocate(stack_size: usize, guard_size: usize) -> Result<Memory, Errno> {
    let too_much = Errno::new(linux_raw_sys::errno::ENOMEM);
    let guard = round_up(guard_size).ok_or(too_much)?;
    let size = round_up(stack_size.max(SMALLEST))
        .and_then(|stack| stack.checked_add(guard))
        .and_then(|size| size.checked_add(round_up(top_size())?))
        .ok_or(too_much)?;
    let base = match CACHE.take(size, guard) {
        Some(base) => {
            // SAFETY: the mapping's last thread has ended and nobody else knows it; its
            // top was readable and writable memory of this size.
            unsafe { base.add(size - top_size()).write_bytes(0, top_size()) };
            base
        }
        None => {
            let base = sys::map_stack(size)?;
            if guard > 0 {
                // SAFETY: the mapping is new and unused, so it may also go again.
                unsafe { sys::forbid_access(base, guard).inspect_err(|_| sys::unmap(base, size)) }?;
            }
            base
        }
    };
    // SAFETY: the top of the mapping is zeroed memory of this size, for nobody else.
    let memory = unsafe { lay_out(base, size) };
    let stack_low = base.wrapping_add(guard);
    memory.thread.body.guard_size.set(guard);
    memory
        .thread
        .body
        .stack_size
        .set(memory.stack_top.addr() - stack_low.addr());
    Ok(memory)
}

/// Returns memory for a thread whose creator brings the stack: `size` bytes below `top`.
///
/// # Errors
///
/// What `mmap(2)` lists.
pub fn allocate_without_stack(top: *mut u8, size: usize) -> Result<Memory, Errno> {
    let len = round_up(top_size()).expect("a few kilobytes");
    let base = sys::map_stack(len)?;
    // SAFETY: new mappings are zeroed.
    let memory = unsafe { lay_out(base, len) };
    let stack_top = top.map_addr(|address| address & !15);
    memory.thread.body.stack_top.set(stack_top);
    memory
        .thread
        .body
        .stack_size
        .set(size - (top.addr() - stack_top.addr()));
    Ok(Memory {
        stack_top,
        ..memory
    })
}

/// Sets up the top of a mapping.
///
/// # Safety
///
/// The top of the mapping is zeroed and nobody else's.
unsafe fn lay_out(base: *mut u8, size: usize) -> Memory {
    // SAFETY: the caller's contract; `size` is larger than what goes to the top.
    let top = unsafe { base.add(size - top_size()) };
    // SAFETY: there are tls_size zeroed bytes, which is what musl asks for. The block lives
    // until the thread's memory is released, which nobody with this reference outlives.
    let thread = unsafe { &*__copy_tls(top) };
    // SAFETY: behind the thread-local data, as `top_size` counts.
    let keys = unsafe { top.add(top_size() - size_of::<Values>()) };
    thread.body.keys.set(keys.cast());
    thread.body.map_base.set(base);
    thread.body.map_size.set(size);
    let stack_top = top.map_addr(|address| address & !15);
    thread.body.stack_top.set(stack_top);
    Memory { thread, stack_top }
}

/// Releases the memory of a thread that has ended, or never started.
///
/// # Safety
///
/// Nobody uses the thread any more, not even its block.
pub unsafe fn release(thread: &Thread) {
    let (base, size) = (thread.body.map_base.get(), thread.body.map_size.get());
    // A null base: the first thread, whose stack is not ours.
    if base.is_null() || CACHE.keep(thread, usize::MAX) {
        return;
    }
    // SAFETY: the caller's contract.
    unsafe { sys::unmap(base, size) };
}

unsafe extern "C" {
    /// Unmaps the calling thread's own stack and ends the thread.
    fn kernel_unmap_and_exit(base: *mut u8, len: usize) -> !;
}

/// Releases the calling thread's own memory, or lets it be released once the thread has
/// ended; the caller then ends without any more use of what it shares with others.
pub fn release_own(me: &Thread) {
    let base = me.body.map_base.get();
    let here = ptr::from_ref(&base).addr();
    if base.is_null() || CACHE.keep(me, here) {
        return;
    }
    // The kernel would write to the block after the memory is gone.
    let _ = sys::call_plain(linux_raw_sys::general::__NR_set_tid_address, [0]);
    // SAFETY: the thread is detached and off the list, so nobody knows its memory.
    unsafe { kernel_unmap_and_exit(base, me.body.map_size.get()) }
}

/// The mappings of ended threads, linked through their blocks.
struct Cache {
    lock: AtomicU32,
    first: Cell<*const Thread>,
    count: Cell<u32>,
}

// SAFETY: list and count are touched under `lock` only.
unsafe impl Sync for Cache {}

static CACHE: Cache = Cache {
    lock: AtomicU32::new(lock::FREE),
    first: Cell::new(ptr::null()),
    count: Cell::new(0),
};

impl Cache {
    /// Keeps `thread`'s mapping if it is of the common size and there is room. `here` is the
    /// stack pointer of a thread that runs on it, else the largest address.
    fn keep(&self, thread: &Thread, here: usize) -> bool {
        let body = &thread.body;
        let mapping = body.map_base.get()..body.map_base.get().wrapping_add(body.map_size.get());
        // A stack of the creator's own, or an unusual one.
        if !mapping.contains(&body.stack_top.get()) || body.map_size.get() > 2 * SMALLEST {
            return false;
        }
        let low = body.map_base.get().addr() + body.guard_size.get();
        let page = libc().page_size.get();
        let high = body
            .stack_top
            .get()
            .addr()
            .min(here)
            .saturating_sub(KEPT_COMMITTED)
            & !(page - 1);
        lock::lock_internal(&self.lock);
        let has_room = self.count.get() < KEPT;
        if has_room {
            self.count.set(self.count.get() + 1);
            thread.next.set(self.first.get());
            self.first.set(thread);
            if high > low {
                // Under the lock, so that no new thread has the stack yet. The kernel is
                // free to refuse: then the memory stays committed.
                let _ = sys::call_plain(__NR_madvise, [low, high - low, MADV_DONTNEED as usize]);
            }
        }
        lock::unlock(&self.lock, Scope::Private);
        has_room
    }

    /// Takes out a mapping of exactly this shape whose thread has ended.
    fn take(&self, size: usize, guard: usize) -> Option<*mut u8> {
        lock::lock_internal(&self.lock);
        let mut link: &Cell<*const Thread> = &self.first;
        let mut found = None;
        // SAFETY: blocks on the list are in mappings that only this list knows.
        while let Some(thread) = unsafe { link.get().as_ref() } {
            let body = &thread.body;
            // Acquire: the kernel cleared the id after the thread's last look at its stack.
            let has_ended = body.tid.load(Ordering::Acquire) == 0;
            if has_ended && body.map_size.get() == size && body.guard_size.get() == guard {
                link.set(thread.next.get());
                self.count.set(self.count.get() - 1);
                found = Some(body.map_base.get());
                break;
            }
            link = &thread.next;
        }
        lock::unlock(&self.lock, Scope::Private);
        found
    }
}
