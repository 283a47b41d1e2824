//! The one door from C: Linux call number in, result or `-errno` out (syscalls(2)).
//!
//! Each file of `libc/` lists its calls in a `CALLS` constant; they are laid out here, at
//! compile time, in one table by number. A number without a function answers `-ENOSYS`, is
//! counted, and is named once in the log.
//!
//! A call that a signal breaks off gives `Errno::RESTART`. If the handler allows it,
//! [`syscall_entry`] returns [`RESTART_CALL`] and the assembly around it, which has kept number and
//! arguments, runs the handler (`thread_notify`) and makes the call again; see `arch::syscall`.

use super::errno::{Errno, SysResult};
use super::names;
use crate::log;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The function of a call: its six argument words in, its result out.
pub type Handler = fn(&[usize; 6]) -> SysResult;

/// Some calls and their functions, by `linux_raw_sys::general::__NR_*`.
pub type Calls = &'static [(u32, Handler)];

/// What [`syscall_entry`] returns when the call is to be made again after signal handlers ran.
pub const RESTART_CALL: isize = -512;

/// One more than the highest number of a call in the table.
const TABLE_LEN: usize = 512;

/// Every list of calls; a file of `libc/` that gains calls adds its list here.
const LISTS: &[Calls] = &[
    super::credentials::CALLS,
    super::descriptors::CALLS,
    super::epoll::CALLS,
    super::files::CALLS,
    super::futex::CALLS,
    super::limits::CALLS,
    super::mman::CALLS,
    super::open::CALLS,
    super::paths::CALLS,
    super::poll::CALLS,
    super::random::CALLS,
    super::sched::CALLS,
    super::signal::CALLS,
    super::sockets::CALLS,
    super::status::CALLS,
    super::system::CALLS,
    super::thread::CALLS,
    super::time::CALLS,
    super::transfer::CALLS,
    super::xattrs::CALLS,
    crate::arch::LEGACY_CALLS,
];

static TABLE: [Option<Handler>; TABLE_LEN] = build_table();
static UNKNOWN: [AtomicU32; TABLE_LEN] = [const { AtomicU32::new(0) }; TABLE_LEN];
static UNKNOWN_TOTAL: AtomicU64 = AtomicU64::new(0);
static IS_TRACING: AtomicBool = AtomicBool::new(false);

const fn build_table() -> [Option<Handler>; TABLE_LEN] {
    let mut table: [Option<Handler>; TABLE_LEN] = [None; TABLE_LEN];
    let mut list = 0;
    while list < LISTS.len() {
        let mut i = 0;
        while i < LISTS[list].len() {
            let (number, handler) = LISTS[list][i];
            assert!(table[number as usize].is_none(), "a call is listed twice");
            table[number as usize] = Some(handler);
            i += 1;
        }
        list += 1;
    }
    table
}

/// Switches the printing of every call on or off (`trace=syscalls` on the kernel command line).
pub fn set_tracing(is_on: bool) {
    IS_TRACING.store(is_on, Ordering::Relaxed);
}

/// Returns how many calls were made that have no function.
pub fn unknown_calls() -> u64 {
    UNKNOWN_TOTAL.load(Ordering::Relaxed)
}

/// Makes call `number`; the whole of the kernel's C surface passes here.
pub fn dispatch(number: usize, arguments: &[usize; 6]) -> SysResult {
    match TABLE.get(number).copied().flatten() {
        Some(handler) => handler(arguments),
        #[cfg(target_os = "none")]
        None if number == crate::hal::enter::NUMBER => crate::hal::enter::call(arguments),
        None => Err(unknown(number)),
    }
}

/// Makes the call that musl asks for; `arch` calls this on the thread's kernel stack.
#[unsafe(no_mangle)]
pub extern "C" fn syscall_entry(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    let arguments = [a, b, c, d, e, f];
    let result = dispatch(number, &arguments);
    if IS_TRACING.load(Ordering::Relaxed) {
        trace(number, &arguments, result);
    }
    let answer = match result {
        Ok(value) => value.cast_signed(),
        Err(Errno::RESTART) if super::signal::should_restart() => RESTART_CALL,
        Err(Errno::RESTART_NOHAND) if !super::signal::will_run_handler() => RESTART_CALL,
        Err(Errno::RESTART | Errno::RESTART_NOHAND) => Errno::EINTR.to_return(),
        Err(errno) => errno.to_return(),
    };
    if answer == Errno::EINTR.to_return() {
        super::signal::note_interrupted_call();
    }
    answer
}

#[cold]
fn unknown(number: usize) -> Errno {
    UNKNOWN_TOTAL.fetch_add(1, Ordering::Relaxed);
    let seen = UNKNOWN
        .get(number)
        .map_or(0, |count| count.fetch_add(1, Ordering::Relaxed));
    if seen == 0 {
        log::info!(
            "kernel.libc",
            "no such call: {} ({number}), answered ENOSYS",
            names::name_of(number)
        );
    }
    Errno::ENOSYS
}

#[cold]
fn trace(number: usize, arguments: &[usize; 6], result: SysResult) {
    let name = names::name_of(number);
    let [a, b, c, d, e, f] = arguments;
    let tid = smp::current().tid();
    log::info!(
        "kernel.trace",
        "[{tid}] {name}({a:#x}, {b:#x}, {c:#x}, {d:#x}, {e:#x}, {f:#x}) = {result:?}"
    );
}
