//! The way into the kernel: one function, by Linux number, on the machine and on Linux alike.

use core::ffi::c_int;

use linux_raw_sys::general::{
    __NR_gettid, __NR_mmap, __NR_mprotect, __NR_munmap, __NR_rt_sigprocmask, MAP_ANONYMOUS,
    MAP_NORESERVE, MAP_PRIVATE, MAP_STACK, PROT_NONE, PROT_READ, PROT_WRITE, SIG_SETMASK,
};

unsafe extern "C" {
    /// Runs Linux system call `n`; answers a result or a negated error number.
    fn kernel_syscall(
        n: usize,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> isize;
}

/// An error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u32);

impl Errno {
    /// Returns the error with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number, a positive one.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns the number as C's `int`.
    #[must_use]
    pub const fn code(self) -> c_int {
        self.0.cast_signed()
    }
}

/// Runs system call `number`.
///
/// # Safety
///
/// What the call's manual page says of its arguments.
///
/// # Errors
///
/// What the call's manual page lists.
#[inline]
pub unsafe fn call(number: u32, [a, b, c, d, e, f]: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's contract.
    let result = unsafe { kernel_syscall(number as usize, a, b, c, d, e, f) };
    if (-4095..0).contains(&result) {
        Err(Errno(u32::try_from(-result).expect("between 1 and 4095")))
    } else {
        Ok(result.cast_unsigned())
    }
}

/// Runs a system call whose arguments are numbers and which touches no memory of ours.
///
/// # Errors
///
/// What the call's manual page lists.
pub fn call_plain<const N: usize>(number: u32, numbers: [usize; N]) -> Result<usize, Errno> {
    let mut arguments = [0; 6];
    arguments[..N].copy_from_slice(&numbers);
    // SAFETY: the caller passes plain numbers, as this function's contract asks, so the
    // call has no memory to misuse.
    unsafe { call(number, arguments) }
}

/// Makes a call that sleeps and at which the thread may be cancelled.
#[cfg(target_os = "none")]
pub use crate::c_abi::cancel::point as cancellable;

/// Makes a call that sleeps and at which the thread may be cancelled: never, on a host.
#[cfg(not(target_os = "none"))]
pub fn cancellable<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// Returns the calling thread's id; see `gettid(2)`.
#[must_use]
pub fn gettid() -> u32 {
    let tid = call_plain(__NR_gettid, []).expect("gettid cannot fail");
    u32::try_from(tid).expect("thread ids fit in 30 bits")
}

/// Maps `len` bytes for a stack: zeroed, committed as they are touched.
///
/// # Errors
///
/// What `mmap(2)` lists.
pub fn map_stack(len: usize) -> Result<*mut u8, Errno> {
    let protection = (PROT_READ | PROT_WRITE) as usize;
    let flags = (MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE) as usize;
    // SAFETY: a new anonymous mapping, placed by the kernel, touches no memory in use.
    let address = unsafe { call(__NR_mmap, [0, len, protection, flags, usize::MAX, 0]) }?;
    Ok(core::ptr::with_exposed_provenance_mut(address))
}

/// Takes away every access to `len` bytes at `start`.
///
/// # Safety
///
/// Nothing uses that memory any more.
///
/// # Errors
///
/// What `mprotect(2)` lists.
pub unsafe fn forbid_access(start: *mut u8, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe {
        call(
            __NR_mprotect,
            [start.addr(), len, PROT_NONE as usize, 0, 0, 0],
        )
    }
    .map(|_| ())
}

/// Unmaps `len` bytes at `start`.
///
/// # Safety
///
/// Nothing uses that memory any more.
pub unsafe fn unmap(start: *mut u8, len: usize) {
    // A failure (the kernel out of memory for splitting an area) leaves the memory
    // mapped: lost, and harmless.
    // SAFETY: the caller's contract.
    let _ = unsafe { call(__NR_munmap, [start.addr(), len, 0, 0, 0, 0]) };
}

/// The signals a thread blocks: bit `n - 1` stands for signal `n`.
pub type SignalMask = u64;

/// Changes the calling thread's mask as `how` says; returns the one before.
pub fn change_signal_mask(how: u32, set: SignalMask) -> SignalMask {
    let mut old: SignalMask = 0;
    let arguments = [
        how as usize,
        (&raw const set).expose_provenance(),
        (&raw mut old).expose_provenance(),
        size_of::<SignalMask>(),
        0,
        0,
    ];
    // SAFETY: both masks are live locals of the size passed.
    let result = unsafe { call(__NR_rt_sigprocmask, arguments) };
    debug_assert!(
        result.is_ok(),
        "rt_sigprocmask with valid arguments cannot fail"
    );
    old
}

/// Gives the calling thread exactly this mask.
pub fn set_signal_mask(set: SignalMask) {
    change_signal_mask(SIG_SETMASK, set);
}
