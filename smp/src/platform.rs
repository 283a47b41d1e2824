//! The machine as the scheduler sees it, and the macro that binds it at link time.

use crate::{CpuId, Thread};

/// What one CPU asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipi {
    /// Look at your run queue; the handler calls [`crate::on_reschedule_ipi`].
    Reschedule,
    /// Look at your TLB requests; the handler calls [`crate::on_shootdown_ipi`].
    /// Not sent where [`Platform::broadcast_flush_tlb`] does what it says.
    Shootdown,
    /// Halt for ever: a panic is being reported. Deliver it by NMI if possible.
    Stop,
}

/// The machine: one implementation per architecture, bound by [`crate::platform!`].
///
/// # Safety
///
/// `this_cpu` returns the CPU that runs the caller, two CPUs never return the same id, and
/// every id is below [`crate::MAX_CPUS`]. `current` returns what `set_current` last stored on
/// the CPU that runs the caller, null before that, as one read that preemption cannot split.
/// `switch` returns on the stack of `from` when something switches to `from` again, and not before.
/// `interrupts_disable` keeps interrupts off until `interrupts_enable` or `halt`.
pub unsafe trait Platform {
    /// Returns the thread that runs on this CPU; null before the first `set_current`.
    fn current() -> *const Thread;

    /// Stores the thread that runs on this CPU.
    ///
    /// # Safety
    ///
    /// Interrupts are off and `thread` lives until the next call on this CPU.
    unsafe fn set_current(thread: *const Thread);

    /// Returns the CPU that runs the caller.
    fn this_cpu() -> CpuId;

    /// Interrupts another CPU.
    fn send_ipi(target: CpuId, ipi: Ipi);

    /// Says whether this CPU takes interrupts.
    fn interrupts_enabled() -> bool;

    /// Turns interrupts off and returns whether they were on.
    fn interrupts_disable() -> bool;

    /// Turns interrupts on.
    fn interrupts_enable();

    /// Returns the monotonic clock in nanoseconds; CPUs agree on it.
    fn now_ns() -> u64;

    /// Asks for one timer interrupt on this CPU at `deadline_ns`, or at once if that has
    /// passed; `u64::MAX` stops the timer.
    fn set_timer(deadline_ns: u64);

    /// Enables interrupts and halts until one arrives, atomically; called and returns with
    /// interrupts off.
    fn halt();

    /// Tells the CPU that it is in a spin loop.
    fn relax();

    /// Drops this CPU's translations of `start..end`, or all of them if that is cheaper.
    fn flush_tlb(start: usize, end: usize);

    /// Drops every CPU's translations of `start..end`, or all of them if that is cheaper, and returns true when no
    /// CPU uses them any more: the page tables as the caller has written them hold. Returns false, and has
    /// done nothing, where CPUs cannot do that for each other.
    fn broadcast_flush_tlb(start: usize, end: usize) -> bool;

    /// Saves the context of `from` and continues that of `to`: kernel stack pointer, thread
    /// pointer, callee-saved and FP control registers, and nothing else.
    ///
    /// # Safety
    ///
    /// Interrupts are off, `from` is the context that runs, `to` is one that does not, whose
    /// `kernel_sp` `switch` or `init_stack` has set.
    unsafe fn switch(from: *const Thread, to: *const Thread);

    /// Prepares a kernel stack so that the first `switch` to it calls `entry(arg)` with
    /// interrupts off, and returns the stack pointer for [`Thread::kernel_sp`].
    ///
    /// # Safety
    ///
    /// The memory below `kstack_top` is a stack nobody else uses.
    unsafe fn init_stack(kstack_top: usize, entry: extern "C" fn(usize) -> !, arg: usize) -> usize;
}

/// Binds the machine: `smp::platform!(arch::Machine);`, once in the image.
#[macro_export]
macro_rules! platform {
    ($machine:ty) => {
        const _: () = {
            use $crate::{CpuId, Ipi, Platform, Thread};
            type M = $machine;

            // SAFETY: the names below belong to `smp::platform!`, which an image has once.
            #[unsafe(no_mangle)]
            fn __smp_current() -> *const Thread {
                <M as Platform>::current()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            unsafe fn __smp_set_current(thread: *const Thread) {
                // SAFETY: the caller's contract.
                unsafe { <M as Platform>::set_current(thread) }
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_this_cpu() -> CpuId {
                <M as Platform>::this_cpu()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_send_ipi(target: CpuId, ipi: Ipi) {
                <M as Platform>::send_ipi(target, ipi)
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_interrupts_enabled() -> bool {
                <M as Platform>::interrupts_enabled()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_interrupts_disable() -> bool {
                <M as Platform>::interrupts_disable()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_interrupts_enable() {
                <M as Platform>::interrupts_enable()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_now_ns() -> u64 {
                <M as Platform>::now_ns()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_set_timer(deadline_ns: u64) {
                <M as Platform>::set_timer(deadline_ns)
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_halt() {
                <M as Platform>::halt()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_relax() {
                <M as Platform>::relax()
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_flush_tlb(start: usize, end: usize) {
                <M as Platform>::flush_tlb(start, end)
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn __smp_broadcast_flush_tlb(start: usize, end: usize) -> bool {
                <M as Platform>::broadcast_flush_tlb(start, end)
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            unsafe fn __smp_switch(from: *const Thread, to: *const Thread) {
                // SAFETY: the caller's contract.
                unsafe { <M as Platform>::switch(from, to) }
            }
            // SAFETY: as above.
            #[unsafe(no_mangle)]
            unsafe fn __smp_init_stack(
                kstack_top: usize,
                entry: extern "C" fn(usize) -> !,
                arg: usize,
            ) -> usize {
                // SAFETY: the caller's contract.
                unsafe { <M as Platform>::init_stack(kstack_top, entry, arg) }
            }
        };
    };
}
