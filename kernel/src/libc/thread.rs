//! Threads of the process: start, end, names.
//!
//! C cannot start a thread by clone(2) here: a function call cannot return twice. So there are
//! two calls of our own, with numbers above Linux's: [`THREAD_START`] and [`UNMAP_AND_EXIT`].
//! pthread-shim reaches them as `kernel_thread_start` and `kernel_unmap_and_exit`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general::*;
use linux_raw_sys::prctl as raw_prctl;
use smp::{Thread, ThreadConfig, ThreadName, ThreadRef};

use super::dispatch::{self, Calls};
use super::errno::{Errno, SysResult};
use super::signal::{self, SignalSet};
use crate::fs::context;
use crate::memory::address_space;
use crate::memory::user::{copy_from_user, copy_to_user, store_user_u32, write_user};
use crate::process::{self, PROCESS, ThreadData};
use crate::{arch, log, memory};

/// Starts a thread: (entry, argument, stack top, thread pointer, ctid, ptid) → thread id.
pub const THREAD_START: u32 = 510;

/// Unmaps the caller's own stack (base, length) and ends the thread.
pub const UNMAP_AND_EXIT: u32 = 511;

/// The calls of this file.
pub const CALLS: Calls = &[
    (THREAD_START, thread_start),
    (UNMAP_AND_EXIT, unmap_and_exit),
    (__NR_exit, exit),
    (__NR_exit_group, exit_group),
    (__NR_gettid, |_| Ok(smp::current().tid() as usize)),
    (__NR_set_tid_address, set_tid_address),
    (__NR_prctl, prctl),
    (__NR_unshare, unshare),
    // There is one process, and a thread starts by `THREAD_START`.
    (__NR_clone, |_| Err(Errno::ENOSYS)),
    (__NR_clone3, |_| Err(Errno::ENOSYS)),
    (__NR_execve, |_| Err(Errno::ENOSYS)),
    (__NR_execveat, |_| Err(Errno::ENOSYS)),
    // Each event loop of asyncio tries it, to learn how it could watch children.
    (__NR_pidfd_open, |_| Err(Errno::ENOSYS)),
    (__NR_rseq, |_| Err(Errno::ENOSYS)),
];

/// How C code starts in a new thread.
pub struct UserStart {
    /// The function; it never returns, and ends by `SYS_exit`.
    pub entry: extern "C" fn(usize) -> !,
    /// Its argument.
    pub argument: usize,
    /// The end of its stack.
    pub stack_top: usize,
    /// Its thread pointer (FS base, TPIDR_EL0).
    pub thread_pointer: usize,
    /// The word that is cleared and woken when the thread ends; 0: none.
    pub clear_child_tid: usize,
}

/// What passes from the starter to the new thread.
struct Handover {
    start: UserStart,
    /// The starter has stored the thread's id where C wants it.
    is_released: AtomicBool,
}

/// Starts the process: its first thread.
///
/// # Safety
///
/// The stack and the thread pointer are as `entry` needs them, and nobody else uses them.
pub unsafe fn start_main(name: &str, start: UserStart) -> Result<ThreadRef, Errno> {
    // SAFETY: the caller's contract.
    unsafe {
        spawn(
            start,
            Some(process::PID),
            ThreadName::new(name),
            SignalSet::EMPTY,
            Scheduled::default(),
            |_| (),
        )
    }
}

/// What a thread inherits from the one that starts it, besides name, mask and place.
struct Scheduled {
    affinity: smp::CpuMask,
    scheduling: smp::Scheduling,
}

impl Default for Scheduled {
    fn default() -> Self {
        Self {
            affinity: smp::CpuMask::ALL,
            scheduling: smp::Scheduling::default(),
        }
    }
}

/// What must be there for a thread, in pages. One of CPython's takes 20 slices of 64 KiB before its
/// first line runs, and who started it waits for ever if there is a `MemoryError` before that
/// (python/cpython issue 140746): better the start fails.
const FIRST_PAGES: usize = (2 << 20) / memory::PAGE_SIZE;

/// Starts a thread that runs C code; calls `store_tid` before it does.
///
/// # Safety
///
/// The stack and the thread pointer are as `entry` needs them, and nobody else uses them.
unsafe fn spawn(
    start: UserStart,
    tid: Option<u32>,
    name: ThreadName,
    mask: SignalSet,
    scheduled: Scheduled,
    store_tid: impl FnOnce(u32),
) -> Result<ThreadRef, Errno> {
    if !address_space::with(|space| space.could_begin(FIRST_PAGES)) {
        return Err(Errno::EAGAIN);
    }
    let kernel_stack_top = memory::alloc_kernel_stack().ok_or(Errno::EAGAIN)?;
    let data = ThreadData::new(mask, context::current());
    data.clear_child_tid
        .store(start.clear_child_tid, Ordering::Relaxed);
    let thread_pointer = start.thread_pointer;
    let handover = Arc::new(Handover {
        start,
        is_released: AtomicBool::new(false),
    });
    let thread = smp::spawn(ThreadConfig {
        name,
        tid,
        entry: begin,
        arg: Arc::into_raw(handover.clone()).expose_provenance(),
        kernel_stack_top,
        thread_pointer,
        affinity: scheduled.affinity,
        scheduling: scheduled.scheduling,
        extension: Box::new(data),
        on_reap: free_stack,
    });
    PROCESS.thread_begins();
    store_tid(thread.tid());
    // Release pairs with the Acquire in `begin`.
    handover.is_released.store(true, Ordering::Release);
    thread.unpark();
    Ok(thread)
}

fn free_stack(thread: &Thread) {
    // SAFETY: the stack came from `alloc_kernel_stack`, and the thread has left it for good.
    unsafe { memory::free_kernel_stack(thread.kernel_stack_top()) }
}

/// The first function of a thread, on its kernel stack.
extern "C" fn begin(handover: usize) -> ! {
    // SAFETY: `spawn` made this pointer by `Arc::into_raw`, for this one use.
    let handover =
        unsafe { Arc::from_raw(core::ptr::with_exposed_provenance::<Handover>(handover)) };
    // C finds its thread id stored when the thread runs and when the starter goes on, whichever
    // is first; and the starter stores it, because a thread that had ended meanwhile could
    // have given the memory back.
    while !handover.is_released.load(Ordering::Acquire) {
        smp::park(None, false);
    }
    let UserStart {
        entry,
        argument,
        stack_top,
        ..
    } = handover.start;
    drop(handover);
    // SAFETY: the contract of `spawn`.
    unsafe { arch::enter_user(entry, argument, stack_top) }
}

/// `THREAD_START`.
fn thread_start(a: &[usize; 6]) -> SysResult {
    let &[
        entry,
        argument,
        stack_top,
        thread_pointer,
        clear_child_tid,
        tid_out,
    ] = a;
    let current = smp::current();
    let mask = ThreadData::of(&current).map_or(SignalSet::EMPTY, |data| data.signals.lock().mask);
    // SAFETY: by the contract of `kernel_thread_start` it is such a function.
    let entry = unsafe { core::mem::transmute::<usize, extern "C" fn(usize) -> !>(entry) };
    let start = UserStart {
        entry,
        argument,
        stack_top,
        thread_pointer,
        clear_child_tid,
    };
    let scheduled = Scheduled {
        affinity: current.affinity(),
        scheduling: current.scheduling(),
    };
    let store_tid = |tid: u32| {
        // As with CLONE_PARENT_SETTID, a bad address is the caller's loss.
        let _ = write_user(tid_out, &tid);
    };
    // SAFETY: by the contract of `kernel_thread_start`.
    let thread = unsafe { spawn(start, None, current.name(), mask, scheduled, store_tid) }?;
    Ok(thread.tid() as usize)
}

/// exit(2): ends the calling thread; the last one ends the process.
fn exit(a: &[usize; 6]) -> SysResult {
    end_thread(a[0] as i32)
}

fn end_thread(status: i32) -> ! {
    let current = smp::current();
    // What it would have taken of the process's signals goes to others.
    signal::hand_over(&current, SignalSet::from_bits(!0));
    if PROCESS.thread_ends(&current) == 0 {
        end_process(status);
    }
    let clear_child_tid =
        ThreadData::of(&current).map_or(0, |data| data.clear_child_tid.load(Ordering::Relaxed));
    if clear_child_tid != 0 && store_user_u32(clear_child_tid, 0).is_ok() {
        smp::futex_wake(clear_child_tid, 1, u32::MAX);
    }
    memory::trim_kernel_stacks();
    smp::exit_current()
}

/// exit_group(2): ends the process.
fn exit_group(a: &[usize; 6]) -> SysResult {
    end_process(a[0] as i32)
}

fn end_process(status: i32) -> ! {
    let status = status & 0xff;
    log::info!(
        "kernel.process",
        "the interpreter ended with status {status}"
    );
    process::exited(status)
}

/// `UNMAP_AND_EXIT`: possible in one call because the kernel runs on its own stack.
fn unmap_and_exit(a: &[usize; 6]) -> SysResult {
    let &[base, len, ..] = a;
    // A handler must not run on the stack that goes: nothing returns to it from here.
    dispatch::dispatch(__NR_munmap as usize, &[base, len, 0, 0, 0, 0])?;
    end_thread(0)
}

/// set_tid_address(2).
fn set_tid_address(a: &[usize; 6]) -> SysResult {
    let current = smp::current();
    if let Some(data) = ThreadData::of(&current) {
        data.clear_child_tid.store(a[0], Ordering::Relaxed);
    }
    Ok(current.tid() as usize)
}

/// unshare(2): a current directory and mask of the thread's own (`CLONE_FS`). The rest is of one
/// kind only, as on a Linux without namespaces.
fn unshare(&[flags, ..]: &[usize; 6]) -> SysResult {
    match flags as u32 {
        0 => Ok(0),
        CLONE_FS => {
            context::unshare();
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Bytes of a thread name with its NUL.
const NAME_SIZE: usize = 16;

/// prctl(2): names; the rest concerns processes and fails.
fn prctl(a: &[usize; 6]) -> SysResult {
    let &[operation, argument, ..] = a;
    let current = smp::current();
    match operation as u32 {
        raw_prctl::PR_SET_NAME => {
            // Up to the NUL, which may be the last byte before memory that is not there.
            let mut name = [0; NAME_SIZE - 1];
            for (i, byte) in name.iter_mut().enumerate() {
                copy_from_user(core::slice::from_mut(byte), argument.wrapping_add(i))?;
                if *byte == 0 {
                    break;
                }
            }
            current.set_name(ThreadName::new(name));
            Ok(0)
        }
        raw_prctl::PR_GET_NAME => {
            let mut bytes = [0; NAME_SIZE];
            let name = current.name();
            bytes[..name.as_bytes().len()].copy_from_slice(name.as_bytes());
            copy_to_user(argument, &bytes)?;
            Ok(0)
        }
        // A core dump is never made, but the process hides nothing.
        raw_prctl::PR_GET_DUMPABLE => Ok(1),
        raw_prctl::PR_GET_KEEPCAPS | raw_prctl::PR_GET_NO_NEW_PRIVS => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// The C symbols of pthread-shim's two private calls.
#[cfg(target_os = "none")]
mod symbols {
    use super::{THREAD_START, UNMAP_AND_EXIT};
    use core::ffi::c_void;

    unsafe extern "C" {
        fn kernel_syscall(
            number: usize,
            a: usize,
            b: usize,
            c: usize,
            d: usize,
            e: usize,
            f: usize,
        ) -> isize;
    }

    /// Starts a thread that runs `entry(argument)` on the stack that ends at `stack_top`, with
    /// `tls` as its thread pointer. Stores its id at `ptid` before it runs; clears and wakes
    /// `ctid` when it ends. Returns the id, or an error number, negative.
    ///
    /// # Safety
    ///
    /// `entry` never returns; stack and thread pointer are as C code needs them; `ptid` and `ctid`
    /// are null or valid, `ctid` until the thread has ended.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn kernel_thread_start(
        entry: extern "C" fn(*mut c_void),
        argument: *mut c_void,
        stack_top: *mut c_void,
        tls: *mut c_void,
        ctid: *mut i32,
        ptid: *mut i32,
    ) -> isize {
        // SAFETY: the caller's contract.
        unsafe {
            kernel_syscall(
                THREAD_START as usize,
                entry as usize,
                argument.expose_provenance(),
                stack_top.expose_provenance(),
                tls.expose_provenance(),
                ctid.expose_provenance(),
                ptid.expose_provenance(),
            )
        }
    }

    /// Unmaps `base..base + len`, which holds the calling thread's stack, and ends the thread.
    ///
    /// # Safety
    ///
    /// Nobody else uses that memory.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn kernel_unmap_and_exit(base: *mut c_void, len: usize) -> ! {
        // SAFETY: the caller's contract. The call returns only if the range is none of munmap's.
        unsafe {
            kernel_syscall(
                UNMAP_AND_EXIT as usize,
                base.expose_provenance(),
                len,
                0,
                0,
                0,
                0,
            );
        }
        panic!("a thread gave back a stack that is none");
    }
}
