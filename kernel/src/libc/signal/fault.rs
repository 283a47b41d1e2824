//! Faults of C code as signals: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP.
//!
//! The trap handler of `arch` runs on a stack of its own with interrupts off. It asks
//! [`fault_stack`] where the program's handler is to run, continues the thread there, and the
//! thread then calls [`deliver_fault`]. Without a handler the fault is the kernel's to report.

use super::action::Disposition;
use super::deliver;
use super::info::SignalInfo;
use super::set::Signal;
use crate::arch;
use crate::process::{PROCESS, ThreadData};

/// Returns the stack pointer to continue with on the way to the handler of a fault of the
/// current thread, whose own stack pointer is `stack_pointer`; `None` if no handler runs.
/// A handler for the alternate stack begins there: the fault may be an overflow of the other.
pub fn fault_stack(signal: Signal, stack_pointer: usize) -> Option<usize> {
    let current = smp::current();
    let data = ThreadData::of(&current)?;
    let process = PROCESS.signals.lock();
    let state = data.signals.lock();
    if state.mask.contains(signal) {
        return None;
    }
    let Disposition::Handle(handler) = process.actions.disposition(signal) else {
        return None;
    };
    let alternate = handler
        .on_alternate_stack
        .then(|| state.alternate.top_for(stack_pointer))
        .flatten();
    Some(alternate.unwrap_or(stack_pointer))
}

/// Runs the handler of a fault, then whatever other handlers wait; called on the stack that
/// [`fault_stack`] chose, with interrupts on. What the handler changed in its context is in
/// `registers` on return.
pub fn deliver_fault(signal: Signal, code: i32, address: usize, registers: &mut arch::Registers) {
    let current = smp::current();
    if let Some(data) = ThreadData::of(&current) {
        let mut process = PROCESS.signals.lock();
        let mut state = data.signals.lock();
        process.force(
            &mut state,
            signal,
            SignalInfo::from_fault(signal, code, address),
        );
    }
    deliver::deliver_all(Some(registers));
}
