//! Policy, priority, affinity and clocks of threads, and the functions of `<sched.h>` that
//! name threads by id: musl's refuse, as POSIX means processes by them; ours do what Linux
//! does, as Python's `os.sched_*` expects.

use core::ffi::c_int;

use linux_raw_sys::{
    errno::ESRCH,
    general::{
        __NR_sched_getaffinity, __NR_sched_getparam, __NR_sched_getscheduler,
        __NR_sched_setaffinity, __NR_sched_setparam, __NR_sched_setscheduler,
    },
};

use super::{
    signal,
    thread::{Thread, errno_status},
};
use crate::sys::{self, Errno};

/// `struct sched_param` of musl's `<sched.h>`; the rest of it is reserved.
#[repr(C)]
pub struct Parameters {
    /// `sched_priority`.
    pub priority: c_int,
}

/// Sets a thread's policy and priority; see `sched_setscheduler(2)`.
///
/// # Errors
///
/// What that page lists.
pub fn set(tid: u32, policy: c_int, priority: c_int) -> Result<(), Errno> {
    let arguments = [
        tid as usize,
        policy as usize,
        (&raw const priority).expose_provenance(),
        0,
        0,
        0,
    ];
    // SAFETY: the kernel reads a `struct sched_param`, which is its one number.
    unsafe { sys::call(__NR_sched_setscheduler, arguments) }.map(|_| ())
}

fn set_priority(tid: u32, priority: c_int) -> Result<(), Errno> {
    let arguments = [
        tid as usize,
        (&raw const priority).expose_provenance(),
        0,
        0,
        0,
        0,
    ];
    // SAFETY: as in `set`.
    unsafe { sys::call(__NR_sched_setparam, arguments) }.map(|_| ())
}

fn policy(tid: u32) -> Result<c_int, Errno> {
    sys::call_plain(__NR_sched_getscheduler, [tid as usize]).map(|policy| policy as c_int)
}

fn priority(tid: u32) -> Result<c_int, Errno> {
    let mut priority: c_int = 0;
    let arguments = [
        tid as usize,
        (&raw mut priority).expose_provenance(),
        0,
        0,
        0,
        0,
    ];
    // SAFETY: the kernel writes a `struct sched_param`, which is its one number.
    unsafe { sys::call(__NR_sched_getparam, arguments) }?;
    Ok(priority)
}

/// # Safety
///
/// `set` points to `size` bytes.
unsafe fn set_affinity(tid: u32, size: usize, set: *const u8) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe {
        sys::call(
            __NR_sched_setaffinity,
            [tid as usize, size, set.expose_provenance(), 0, 0, 0],
        )
    }
    .map(|_| ())
}

/// # Safety
///
/// `set` points to `size` bytes that may be written.
unsafe fn affinity(tid: u32, size: usize, set: *mut u8) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe {
        let written = sys::call(
            __NR_sched_getaffinity,
            [tid as usize, size, set.expose_provenance(), 0, 0, 0],
        )?;
        // The kernel writes as much as it has CPUs for.
        if written < size {
            set.add(written).write_bytes(0, size - written);
        }
    }
    Ok(())
}

/// Runs `act` with the id of `target`; ESRCH if it has ended.
fn of_thread(target: &Thread, act: impl FnOnce(u32) -> Result<(), Errno>) -> c_int {
    signal::with_id(target, |tid| tid.map_or(Err(Errno::new(ESRCH)), act))
        .map_or_else(Errno::code, |()| 0)
}

fn of_id(result: Result<c_int, Errno>) -> c_int {
    match result {
        Ok(value) => value,
        Err(error) => errno_status(Err(error.code())),
    }
}

/// Returns a thread's policy and priority; see `pthread_getschedparam`.
#[unsafe(no_mangle)]
extern "C" fn pthread_getschedparam(
    target: &Thread,
    its_policy: &mut c_int,
    parameters: &mut Parameters,
) -> c_int {
    of_thread(target, |tid| {
        parameters.priority = priority(tid)?;
        *its_policy = policy(tid)?;
        Ok(())
    })
}

/// Sets a thread's policy and priority; see `pthread_setschedparam`.
#[unsafe(no_mangle)]
extern "C" fn pthread_setschedparam(
    target: &Thread,
    policy: c_int,
    parameters: &Parameters,
) -> c_int {
    of_thread(target, |tid| set(tid, policy, parameters.priority))
}

/// Sets a thread's priority; see `pthread_setschedprio`.
#[unsafe(no_mangle)]
extern "C" fn pthread_setschedprio(target: &Thread, priority: c_int) -> c_int {
    of_thread(target, |tid| set_priority(tid, priority))
}

/// Sets the CPUs that a thread may run on; see Linux's page of this name.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setaffinity_np(target: &Thread, size: usize, set: *const u8) -> c_int {
    // SAFETY: the caller's contract.
    of_thread(target, |tid| unsafe { set_affinity(tid, size, set) })
}

/// Returns the CPUs that a thread may run on; see Linux's page of this name.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getaffinity_np(target: &Thread, size: usize, set: *mut u8) -> c_int {
    // SAFETY: the caller's contract.
    of_thread(target, |tid| unsafe { affinity(tid, size, set) })
}

/// Returns the clock of a thread's CPU time; see `pthread_getcpuclockid`.
#[unsafe(no_mangle)]
extern "C" fn pthread_getcpuclockid(target: &Thread, clock: &mut c_int) -> c_int {
    /// Linux's encoding: the complement of the id, and "a thread's scheduler clock".
    const THREAD_CLOCK: u32 = 4 | 2;
    of_thread(target, |tid| {
        *clock = (!tid << 3 | THREAD_CLOCK).cast_signed();
        Ok(())
    })
}

/// See `sched_setaffinity(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sched_setaffinity(tid: u32, size: usize, set: *const u8) -> c_int {
    // SAFETY: the caller's contract.
    errno_status(unsafe { set_affinity(tid, size, set) }.map_err(Errno::code))
}

/// See `sched_getaffinity(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sched_getaffinity(tid: u32, size: usize, set: *mut u8) -> c_int {
    // SAFETY: the caller's contract.
    errno_status(unsafe { affinity(tid, size, set) }.map_err(Errno::code))
}

/// See `sched_setscheduler(2)`; returns 0 as on Linux.
#[unsafe(no_mangle)]
extern "C" fn sched_setscheduler(tid: u32, policy: c_int, parameters: &Parameters) -> c_int {
    errno_status(set(tid, policy, parameters.priority).map_err(Errno::code))
}

/// See `sched_getscheduler(2)`.
#[unsafe(no_mangle)]
extern "C" fn sched_getscheduler(tid: u32) -> c_int {
    of_id(policy(tid))
}

/// See `sched_setparam(2)`.
#[unsafe(no_mangle)]
extern "C" fn sched_setparam(tid: u32, parameters: &Parameters) -> c_int {
    errno_status(set_priority(tid, parameters.priority).map_err(Errno::code))
}

/// See `sched_getparam(2)`.
#[unsafe(no_mangle)]
extern "C" fn sched_getparam(tid: u32, parameters: &mut Parameters) -> c_int {
    of_id(priority(tid).map(|priority| {
        parameters.priority = priority;
        0
    }))
}

/// What `pthread_setconcurrency` was told last; nothing comes of it, as POSIX allows.
static CONCURRENCY: crate::prim::AtomicU32 = crate::prim::AtomicU32::new(0);

/// See `pthread_getconcurrency`.
#[unsafe(no_mangle)]
extern "C" fn pthread_getconcurrency() -> c_int {
    CONCURRENCY
        .load(crate::prim::Ordering::Relaxed)
        .cast_signed()
}

/// See `pthread_setconcurrency`.
#[unsafe(no_mangle)]
extern "C" fn pthread_setconcurrency(level: c_int) -> c_int {
    match u32::try_from(level) {
        Ok(level) => {
            CONCURRENCY.store(level, crate::prim::Ordering::Relaxed);
            0
        }
        Err(_) => linux_raw_sys::errno::EINVAL.cast_signed(),
    }
}
