//! The machine as the scheduler sees it.

use smp::{CpuId, Ipi, Platform, Thread};

use super::{clock, context, cpu, gic, page_table, per_cpu};
use crate::memory::PAGE_SIZE;

/// The ARM machine.
pub struct Machine;

/// Beyond this many pages, dropping all translations costs less than dropping each.
const MAX_SINGLE_FLUSHES: usize = 64;

// SAFETY: `current` is one read of a register of this CPU's that only `set_current` writes; `this_cpu` reads
// this CPU's own data, whose ids are given once, below MAX_CPUS, by `secondary`. The context switch
// is a function call that comes back when the saved stack pointer is loaded again.
unsafe impl Platform for Machine {
    fn current() -> *const Thread {
        per_cpu::current()
    }

    unsafe fn set_current(thread: *const Thread) {
        // SAFETY: the caller's contract.
        unsafe { per_cpu::set_current(thread) }
    }

    fn this_cpu() -> CpuId {
        per_cpu::this_cpu_id()
    }

    fn send_ipi(target: CpuId, ipi: Ipi) {
        let Some(target) = per_cpu::cpu(target) else {
            return;
        };
        let number = match ipi {
            Ipi::Reschedule => gic::SGI_RESCHEDULE,
            Ipi::Shootdown => gic::SGI_SHOOTDOWN,
            Ipi::Stop => gic::SGI_STOP,
        };
        gic::send(target, number);
    }

    fn interrupts_enabled() -> bool {
        cpu::are_interrupts_enabled()
    }

    fn interrupts_disable() -> bool {
        let were_on = cpu::are_interrupts_enabled();
        cpu::disable_interrupts();
        were_on
    }

    fn interrupts_enable() {
        cpu::enable_interrupts();
    }

    fn now_ns() -> u64 {
        clock::now_ns()
    }

    fn set_timer(deadline_ns: u64) {
        clock::set_timer(deadline_ns);
    }

    fn halt() {
        cpu::halt();
    }

    fn relax() {
        cpu::relax();
    }

    fn flush_tlb(start: usize, end: usize) {
        if end.saturating_sub(start) / PAGE_SIZE > MAX_SINGLE_FLUSHES {
            page_table::flush_all();
        } else {
            page_table::flush_pages(start, end);
        }
    }

    fn broadcast_flush_tlb(start: usize, end: usize) -> bool {
        if end.saturating_sub(start) / PAGE_SIZE > MAX_SINGLE_FLUSHES {
            page_table::flush_all_everywhere();
        } else {
            page_table::flush_pages_everywhere(start, end);
        }
        true
    }

    unsafe fn switch(from: *const Thread, to: *const Thread) {
        // SAFETY: the caller's contract.
        unsafe { context::switch(from, to) }
    }

    unsafe fn init_stack(kstack_top: usize, entry: extern "C" fn(usize) -> !, arg: usize) -> usize {
        // SAFETY: the caller's contract.
        unsafe { context::init_stack(kstack_top, entry, arg) }
    }
}
