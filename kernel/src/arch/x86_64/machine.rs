//! The machine as the scheduler sees it.

use smp::{CpuId, Ipi, Platform, Thread};
use x86_64::VirtAddr;
use x86_64::instructions::{interrupts, tlb};

use super::{apic, clock, context, cpu, per_cpu};
use crate::memory::PAGE_SIZE;

/// The PC.
pub struct Machine;

/// Beyond this many pages, dropping all translations costs less than dropping
/// each (one CR3 write against so many INVLPG, and the refills).
const MAX_SINGLE_FLUSHES: usize = 32;

// SAFETY: `this_cpu` and `current` read this CPU's own data through its GS base
// in one instruction; ids are given once, below MAX_CPUS, by `secondary`. The
// context switch is a function call that comes back when the saved stack pointer is loaded
// again.
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
        match ipi {
            Ipi::Reschedule => apic::send_ipi(target.apic_id(), apic::VECTOR_RESCHEDULE),
            Ipi::Shootdown => apic::send_ipi(target.apic_id(), apic::VECTOR_SHOOTDOWN),
            Ipi::Stop => cpu::stop_cpu(target),
        }
    }

    fn interrupts_enabled() -> bool {
        interrupts::are_enabled()
    }

    fn interrupts_disable() -> bool {
        let were_on = interrupts::are_enabled();
        interrupts::disable();
        were_on
    }

    fn interrupts_enable() {
        interrupts::enable();
    }

    fn now_ns() -> u64 {
        clock::now_ns()
    }

    fn set_timer(deadline_ns: u64) {
        apic::set_timer(deadline_ns);
    }

    fn halt() {
        // STI takes effect after the next instruction, so no interrupt can come
        // between the two and be slept through.
        interrupts::enable_and_hlt();
        interrupts::disable();
    }

    fn relax() {
        cpu::relax();
    }

    fn flush_tlb(start: usize, end: usize) {
        if end.saturating_sub(start) / PAGE_SIZE > MAX_SINGLE_FLUSHES {
            tlb::flush_all();
            return;
        }
        for page in (start..end).step_by(PAGE_SIZE) {
            tlb::flush(VirtAddr::new_truncate(page as u64));
        }
    }

    fn broadcast_flush_tlb(_: usize, _: usize) -> bool {
        // Only AMD's newer processors have an instruction for it.
        false
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
