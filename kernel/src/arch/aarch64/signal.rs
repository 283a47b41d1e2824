//! Exceptions of C code as signals: which exception is which signal, and the way
//! into the program's handler through the preemption trampoline.

use linux_raw_sys::general as raw;

use super::preempt;
use super::syscall::thread_notify;
use super::traps::{Status, class, class_of, status_of};
use super::vectors::TrapFrame;
use crate::libc::signal::{Signal, deliver_fault, fault_stack};
use crate::memory::FaultReason;
use crate::report::{self, Fault};

/// A signal's code on its way to the handler's stack, above its number.
const CODE_SHIFT: u32 = 32;

/// Sends the interrupted C code to its handler for a page fault; returns false
/// if it has none.
pub fn begin_page_fault(frame: &mut TrapFrame, address: usize, reason: FaultReason) -> bool {
    let (signal, code) = match reason {
        FaultReason::NotMapped => (Signal::SIGSEGV, raw::SEGV_MAPERR),
        FaultReason::AccessDenied => (Signal::SIGSEGV, raw::SEGV_ACCERR),
        FaultReason::PastEnd | FaultReason::NoMemory => (Signal::SIGBUS, raw::BUS_ADRERR),
    };
    begin(frame, signal, code, address as u64)
}

/// Sends the interrupted C code to its handler for an exception; returns false
/// if it has none, or the exception is none of C's.
pub fn begin_exception(frame: &mut TrapFrame) -> bool {
    let (pc, address) = (frame.pc, frame.address);
    let (signal, code, address) = match class_of(frame.syndrome) {
        class::UNKNOWN | class::SYSTEM_REGISTER | class::BRANCH_TARGET | class::SYSTEM_CALL => {
            (Signal::SIGILL, raw::ILL_ILLOPC, pc)
        }
        class::ILLEGAL_STATE => (Signal::SIGILL, raw::ILL_ILLOPC, pc),
        class::FLOATING_POINT => (Signal::SIGFPE, float_code(frame.syndrome), pc),
        class::BREAKPOINT => (Signal::SIGTRAP, raw::TRAP_BRKPT, pc),
        class::SINGLE_STEP => (Signal::SIGTRAP, raw::TRAP_TRACE, pc),
        class::PC_ALIGNMENT | class::SP_ALIGNMENT => (Signal::SIGBUS, raw::BUS_ADRALN, pc),
        class::DATA_ABORT | class::INSTRUCTION_ABORT => match status_of(frame.syndrome) {
            Status::Alignment => (Signal::SIGBUS, raw::BUS_ADRALN, address),
            _ => (Signal::SIGBUS, raw::BUS_OBJERR, address),
        },
        _ => return false,
    };
    begin(frame, signal, code, address)
}

fn begin(frame: &mut TrapFrame, signal: Signal, code: u32, address: u64) -> bool {
    let Some(stack) = fault_stack(signal, frame.sp as usize) else {
        return false;
    };
    let packed = signal.number() as u64 | u64::from(code) << CODE_SHIFT;
    preempt::to_signal_handler(frame, stack as u64, address, packed);
    true
}

/// Runs the handler, as the thread itself, on the stack that `begin` chose.
pub fn deliver_exception(frame: &mut TrapFrame, address: usize, packed: u64) {
    let code = (packed >> CODE_SHIFT) as u32;
    let signal = Signal::new(packed as u32 as usize).expect("begin put a signal there");
    deliver_fault(signal, code.cast_signed(), address, frame);
}

/// Runs the handlers of what waits for the running thread, on its own stack.
pub fn deliver_pending() {
    // SAFETY: called by a thread on its C stack with interrupts on.
    unsafe { thread_notify() };
}

/// `si_code` of a floating-point exception, where the syndrome tells (Arm ARM, ESR_EL1, ISS of a trapped
/// floating-point exception: bit 23 says whether it does).
fn float_code(syndrome: u64) -> u32 {
    const IS_TOLD: u64 = 1 << 23;
    match syndrome {
        s if s & IS_TOLD == 0 => raw::FPE_FLTINV,
        s if s & 1 != 0 => raw::FPE_FLTINV,
        s if s & 1 << 1 != 0 => raw::FPE_FLTDIV,
        s if s & 1 << 2 != 0 => raw::FPE_FLTOVF,
        s if s & 1 << 3 != 0 => raw::FPE_FLTUND,
        _ => raw::FPE_FLTRES,
    }
}

/// Reports a signal whose default action is to end the program and say where it
/// was: an unhandled fault, or abort().
pub fn report_fatal_signal(signal: i32, address: usize, registers: Option<&TrapFrame>) -> ! {
    let name = Signal::new(signal as usize);
    let name: &dyn core::fmt::Debug = name.as_ref().map_or(&signal, |name| name);
    match registers {
        Some(_) => report::fatal(&Fault {
            title: "fatal signal",
            details: format_args!("{name:?}, address {address:#x}"),
            registers,
        }),
        // Sent by somebody, so there is no address of a fault.
        None => report::fatal(&Fault {
            title: "fatal signal",
            details: format_args!("{name:?}"),
            registers,
        }),
    }
}
