//! Calls into the [`crate::Platform`] that [`crate::platform!`] bound.

use crate::{CpuId, Ipi, Thread};

mod bound {
    use crate::{CpuId, Ipi, Thread};

    // SAFETY: `platform!` defines exactly these functions with these signatures; those
    // declared safe are safe in `Platform`.
    unsafe extern "Rust" {
        pub safe fn __smp_current() -> *const Thread;
        pub unsafe fn __smp_set_current(thread: *const Thread);
        pub safe fn __smp_this_cpu() -> CpuId;
        pub safe fn __smp_send_ipi(target: CpuId, ipi: Ipi);
        pub safe fn __smp_interrupts_enabled() -> bool;
        pub safe fn __smp_interrupts_disable() -> bool;
        pub safe fn __smp_interrupts_enable();
        pub safe fn __smp_now_ns() -> u64;
        pub safe fn __smp_set_timer(deadline_ns: u64);
        pub safe fn __smp_halt();
        pub safe fn __smp_relax();
        pub safe fn __smp_flush_tlb(start: usize, end: usize);
        pub safe fn __smp_broadcast_flush_tlb(start: usize, end: usize) -> bool;
        pub unsafe fn __smp_switch(from: *const Thread, to: *const Thread);
        pub unsafe fn __smp_init_stack(
            kstack_top: usize,
            entry: extern "C" fn(usize) -> !,
            arg: usize,
        ) -> usize;
    }
}

pub(crate) fn current() -> *const Thread {
    bound::__smp_current()
}

/// # Safety
///
/// As for [`crate::Platform::set_current`].
pub(crate) unsafe fn set_current(thread: *const Thread) {
    // SAFETY: the caller's contract.
    unsafe { bound::__smp_set_current(thread) }
}

pub(crate) fn this_cpu() -> CpuId {
    bound::__smp_this_cpu()
}

pub(crate) fn send_ipi(target: CpuId, ipi: Ipi) {
    bound::__smp_send_ipi(target, ipi);
}

pub(crate) fn interrupts_enabled() -> bool {
    bound::__smp_interrupts_enabled()
}

pub(crate) fn interrupts_disable() -> bool {
    bound::__smp_interrupts_disable()
}

pub(crate) fn interrupts_enable() {
    bound::__smp_interrupts_enable();
}

/// Returns the monotonic clock in nanoseconds: what every deadline of this crate is on.
pub fn now_ns() -> u64 {
    bound::__smp_now_ns()
}

pub(crate) fn set_timer(deadline_ns: u64) {
    bound::__smp_set_timer(deadline_ns);
}

pub(crate) fn halt() {
    bound::__smp_halt();
}

pub(crate) fn relax() {
    bound::__smp_relax();
}

pub(crate) fn flush_tlb(start: usize, end: usize) {
    bound::__smp_flush_tlb(start, end);
}

pub(crate) fn broadcast_flush_tlb(start: usize, end: usize) -> bool {
    bound::__smp_broadcast_flush_tlb(start, end)
}

/// # Safety
///
/// As for [`crate::Platform::switch`].
pub(crate) unsafe fn switch(from: *const Thread, to: *const Thread) {
    // SAFETY: the caller's contract.
    unsafe { bound::__smp_switch(from, to) }
}

/// # Safety
///
/// As for [`crate::Platform::init_stack`].
pub(crate) unsafe fn init_stack(top: usize, entry: extern "C" fn(usize) -> !, arg: usize) -> usize {
    // SAFETY: the caller's contract.
    unsafe { bound::__smp_init_stack(top, entry, arg) }
}
