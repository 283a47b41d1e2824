//! Exceptions of C code as signals: which exception is which signal, and the way
//! into the program's handler through the preemption trampoline.

use linux_raw_sys::general as raw;

use super::preempt;
use super::syscall::thread_notify;
use super::trap_stubs::TrapFrame;
use crate::libc::signal::{Signal, deliver_fault, fault_stack};
use crate::memory::FaultReason;
use crate::report::{self, Fault};

/// `si_code` of an exception that tells no cause: sent by the kernel.
const NO_CAUSE: u32 = raw::SI_KERNEL;

/// The frame's vector takes signal and code along to the handler's stack.
const SIGNAL_SHIFT: u32 = 16;
const CODE_SHIFT: u32 = 32;
const VECTOR_MASK: u64 = 0xffff;

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
    let rip = frame.rip;
    let (signal, code, address) = match frame.vector {
        0 => (Signal::SIGFPE, raw::FPE_INTDIV, rip),
        1 => (Signal::SIGTRAP, raw::TRAP_TRACE, rip),
        3 => (Signal::SIGTRAP, NO_CAUSE, rip),
        6 => (Signal::SIGILL, raw::ILL_ILLOPN, rip),
        4 | 5 | 13 => (Signal::SIGSEGV, NO_CAUSE, 0),
        11 | 12 => (Signal::SIGBUS, NO_CAUSE, 0),
        16 => (Signal::SIGFPE, float_code(x87_exceptions()), rip),
        17 => (Signal::SIGBUS, raw::BUS_ADRALN, 0),
        19 => (Signal::SIGFPE, float_code(simd_exceptions()), rip),
        _ => return false,
    };
    begin(frame, signal, code, address)
}

fn begin(frame: &mut TrapFrame, signal: Signal, code: u32, address: u64) -> bool {
    let Some(stack) = fault_stack(signal, frame.rsp as usize) else {
        return false;
    };
    frame.vector |= (signal.number() as u64) << SIGNAL_SHIFT | u64::from(code) << CODE_SHIFT;
    preempt::to_signal_handler(frame, stack as u64, address);
    true
}

/// Runs the handler, as the thread itself, on the stack that `begin` chose.
pub fn deliver_exception(frame: &mut TrapFrame, address: usize) {
    let number = (frame.vector >> SIGNAL_SHIFT) as u16;
    let code = (frame.vector >> CODE_SHIFT) as u32;
    frame.vector &= VECTOR_MASK;
    let signal = Signal::new(number.into()).expect("begin put a signal there");
    deliver_fault(signal, code.cast_signed(), address, frame);
}

/// Runs the handlers of what waits for the running thread, on its own stack.
pub fn deliver_pending() {
    // SAFETY: called by a thread on its C stack with interrupts on.
    unsafe { thread_notify() };
}

/// Pending and unmasked x87 exceptions, as MXCSR numbers them.
fn x87_exceptions() -> u32 {
    let (mut status, mut control) = (0u16, 0u16);
    // SAFETY: both store a word; kernel code has no x87 state to disturb.
    unsafe {
        core::arch::asm!("fnstsw [{}]", "fnstcw [{}]", in(reg) &mut status, in(reg) &mut control,
            options(nostack));
    }
    u32::from(status & !control)
}

/// Pending and unmasked SIMD exceptions.
fn simd_exceptions() -> u32 {
    let mut mxcsr = 0u32;
    // SAFETY: stores a word.
    unsafe { core::arch::asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
    mxcsr & !(mxcsr >> 7)
}

/// `si_code` of a floating-point exception (Intel SDM volume 1, 8.1.3.3 and
/// 10.2.3: invalid, denormal, zero divide, overflow, underflow, precision).
fn float_code(exceptions: u32) -> u32 {
    match exceptions {
        e if e & 1 != 0 => raw::FPE_FLTINV,
        e if e & 1 << 2 != 0 => raw::FPE_FLTDIV,
        e if e & 1 << 3 != 0 => raw::FPE_FLTOVF,
        e if e & 0b1_0010 != 0 => raw::FPE_FLTUND,
        e if e & 1 << 5 != 0 => raw::FPE_FLTRES,
        _ => NO_CAUSE,
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
