//! What each interrupt and exception does.

use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use aarch64_cpu::registers::{Readable, SCTLR_EL1, TTBR0_EL1};
use smp::{CpuId, Thread};

use super::preempt::{self, StackKind};
use super::vectors::TrapFrame;
use super::{clock, cpu, device_tree, gic, guarded, irq, page_table, per_cpu, signal, user_copy};
use crate::interrupts;
use crate::memory::{self, Access, FaultOutcome, FaultReason};
use crate::report::{self, Fault};

/// PSTATE.I: interrupts are off.
pub const PSTATE_I: u64 = 1 << 7;

/// Exception classes (Arm ARM, ESR_EL1).
pub mod class {
    pub const UNKNOWN: u64 = 0x00;
    pub const FLOATING_POINT_ACCESS: u64 = 0x07;
    pub const BRANCH_TARGET: u64 = 0x0d;
    pub const ILLEGAL_STATE: u64 = 0x0e;
    pub const SYSTEM_CALL: u64 = 0x15;
    pub const SYSTEM_REGISTER: u64 = 0x18;
    pub const INSTRUCTION_ABORT: u64 = 0x21;
    pub const PC_ALIGNMENT: u64 = 0x22;
    pub const DATA_ABORT: u64 = 0x25;
    pub const SP_ALIGNMENT: u64 = 0x26;
    pub const FLOATING_POINT: u64 = 0x2c;
    pub const SYSTEM_ERROR: u64 = 0x2f;
    pub const SINGLE_STEP: u64 = 0x33;
    pub const BREAKPOINT: u64 = 0x3c;
}

/// The exception class of a syndrome.
pub fn class_of(syndrome: u64) -> u64 {
    syndrome >> 26 & 0x3f
}

/// Why an access failed, as far as it can be told from the fault status code (Arm ARM, ESR_EL1, ISS of an
/// abort).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is mapped.
    Translation,
    /// What is mapped does not allow it.
    Permission,
    /// The address is not aligned as the access wants it.
    Alignment,
    /// Neither: no physical memory answers, the tables are wrong.
    Other,
}

/// The fault status of an abort's syndrome.
pub fn status_of(syndrome: u64) -> Status {
    match syndrome & 0x3f {
        // Address size, translation and access flag faults of levels 0 to 3.
        0x04..=0x0b => Status::Translation,
        0x0c..=0x0f => Status::Permission,
        0x21 => Status::Alignment,
        _ => Status::Other,
    }
}

/// Tells what the faulting access wanted.
fn access_of(syndrome: u64) -> Access {
    const WRITE: u64 = 1 << 6;
    /// Cache maintenance counts as a write there and only reads.
    const CACHE_MAINTENANCE: u64 = 1 << 8;
    if class_of(syndrome) == class::INSTRUCTION_ABORT {
        Access::Execute
    } else if syndrome & (WRITE | CACHE_MAINTENANCE) == WRITE {
        Access::Write
    } else {
        Access::Read
    }
}

/// Interrupts of devices, timers, and other CPUs.
pub extern "C" fn on_interrupt(frame: &mut TrapFrame) {
    cpu::enable_fast_interrupts();
    let Some(interrupt) = gic::acknowledge() else {
        return;
    };
    match interrupt.number() {
        gic::SGI_RESCHEDULE => {
            interrupt.end();
            interrupts::take(gic::SGI_RESCHEDULE);
            smp::on_reschedule_ipi();
        }
        gic::SGI_SHOOTDOWN => {
            interrupt.end();
            interrupts::take(gic::SGI_SHOOTDOWN);
            smp::on_shootdown_ipi();
        }
        gic::SGI_STOP => cpu::stop_here(frame),
        number if number == device_tree::machine().timer => {
            // The line is up until the timer is stopped or set anew.
            clock::stop_timer();
            interrupt.end();
            interrupts::take(number);
            smp::on_timer_interrupt();
        }
        number => {
            irq::dispatch(number);
            interrupt.end();
        }
    }
    preempt::at_interrupt_exit(frame);
}

/// The one fast interrupt: another CPU reports a fault.
pub extern "C" fn on_fast_interrupt(frame: &mut TrapFrame) {
    match gic::acknowledge_fast() {
        None => return,
        Some(interrupt) if interrupt.number() == gic::SGI_STOP => cpu::stop_here(frame),
        Some(_) => {}
    }
    report::fatal(&Fault {
        title: "unexpected fast interrupt",
        details: format_args!("at {:#x}", frame.pc),
        registers: Some(frame),
    });
}

/// An SError, or an exception from a place where no code runs.
pub extern "C" fn on_system_error(frame: &mut TrapFrame) {
    if guarded::recover(frame) {
        return;
    }
    report::fatal(&Fault {
        title: "system error",
        details: format_args!(
            "the hardware reports a failure, syndrome {:#x}",
            frame.syndrome
        ),
        registers: Some(frame),
    });
}

/// Everything that an instruction causes.
pub extern "C" fn on_synchronous(frame: &mut TrapFrame) {
    cpu::enable_fast_interrupts();
    match class_of(frame.syndrome) {
        class::DATA_ABORT | class::INSTRUCTION_ABORT => on_abort(frame),
        _ => {
            if guarded::recover(frame) || is_c_code(frame) && signal::begin_exception(frame) {
                return;
            }
            fail(frame);
        }
    }
}

/// An access to memory that failed.
fn on_abort(frame: &mut TrapFrame) {
    if report::is_in_progress_here() {
        // Nothing may be resolved any more: the locks belong to stopped CPUs.
        if !guarded::recover(frame) {
            fail(frame);
        }
        return;
    }
    let outcome = match status_of(frame.syndrome) {
        Status::Translation | Status::Permission => memory::handle_page_fault(
            frame.address as usize,
            access_of(frame.syndrome),
            frame.pc as usize,
        ),
        Status::Alignment | Status::Other => {
            // Nothing may answer where Python looks for a device.
            if let Some(next) = user_copy::fixup(frame.pc as usize) {
                frame.pc = next as u64;
                return;
            }
            if guarded::recover(frame) || is_c_code(frame) && signal::begin_exception(frame) {
                return;
            }
            fail(frame)
        }
    };
    match outcome {
        FaultOutcome::Resolved => {}
        FaultOutcome::ContinueAt(next) => frame.pc = next as u64,
        FaultOutcome::Fatal(reason) => {
            let is_signal = is_c_code(frame) && begin_page_fault(frame, reason);
            if !is_signal && !guarded::recover(frame) {
                if reason == FaultReason::NoMemory {
                    report::out_of_memory(frame, frame.address as usize);
                }
                fail(frame);
            }
        }
    }
}

fn begin_page_fault(frame: &mut TrapFrame, reason: FaultReason) -> bool {
    let address = frame.address as usize;
    signal::begin_page_fault(frame, address, reason)
}

/// Whether the exception interrupted C code on a thread's own stack, which may
/// have a signal handler for it.
fn is_c_code(frame: &TrapFrame) -> bool {
    !per_cpu::current().is_null()
        && preempt::is_thread(frame)
        && frame.pstate & PSTATE_I == 0
        && !preempt::is_trampoline(frame.pc)
        && preempt::stack_kind(frame.sp) == StackKind::User
}

/// Reports an exception that nobody handles.
fn fail(frame: &TrapFrame) -> ! {
    let class = class_of(frame.syndrome);
    let is_abort = class == class::DATA_ABORT || class == class::INSTRUCTION_ABORT;
    if !is_abort {
        report::fatal(&Fault {
            title: class_name(class),
            details: format_args!("at {:#x}, syndrome {:#x}", frame.pc, frame.syndrome),
            registers: Some(frame),
        })
    }
    let address = frame.address as usize;
    let title = stack_overflow(frame, address).unwrap_or("page fault");
    let access = match access_of(frame.syndrome) {
        Access::Read => "read",
        Access::Write => "write",
        Access::Execute => "execute",
    };
    let why = match status_of(frame.syndrome) {
        Status::Permission => "which the page's protection forbids",
        Status::Translation if address < memory::PAGE_SIZE => "a null pointer",
        Status::Translation if memory::is_stack_guard(address) => "the guard page of a stack",
        Status::Translation => "where nothing is mapped",
        Status::Alignment => "which is not aligned",
        Status::Other => "where nothing answers",
    };
    report::fatal(&Fault {
        title,
        details: format_args!("{access} at {address:#x}, {why}"),
        registers: Some(frame),
    })
}

/// Says which kind of stack ran into its guard page, if the fault is that: the address
/// is near the stack pointer, and below everything that is mapped there.
fn stack_overflow(frame: &TrapFrame, address: usize) -> Option<&'static str> {
    // A prologue may probe or skip some pages.
    const REACH: u64 = 64 * 1024;
    if (address as u64).abs_diff(frame.sp) >= REACH {
        None
    } else if memory::is_stack_guard(address) {
        Some("kernel stack overflow")
    } else {
        page_table::USER_RANGE
            .contains(&address)
            .then_some("stack overflow")
    }
}

fn class_name(class: u64) -> &'static str {
    match class {
        class::UNKNOWN => "undefined instruction",
        class::FLOATING_POINT_ACCESS => "floating-point access",
        class::BRANCH_TARGET => "branch target exception",
        class::ILLEGAL_STATE => "illegal execution state",
        class::SYSTEM_CALL => "system call instruction",
        class::SYSTEM_REGISTER => "system register access",
        class::PC_ALIGNMENT => "misaligned program counter",
        class::SP_ALIGNMENT => "misaligned stack pointer",
        class::FLOATING_POINT => "floating-point exception",
        class::SYSTEM_ERROR => "system error",
        class::SINGLE_STEP => "single step",
        class::BREAKPOINT => "breakpoint instruction",
        _ => "unexpected exception",
    }
}

/// Shows a trap frame and the control registers that explain it.
pub fn describe_registers(frame: &TrapFrame) -> impl fmt::Display {
    struct Shown(TrapFrame);
    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
            let r = &self.0;
            writeln!(
                f,
                "PC  {:#018x}  SP  {:#018x}  PSTATE {:#010x}",
                r.pc, r.sp, r.pstate
            )?;
            for (row, values) in r.x.chunks(3).enumerate() {
                for (column, value) in values.iter().enumerate() {
                    let gap = if column == 0 { "" } else { "  " };
                    write!(f, "{gap}X{:<2} {value:#018x}", row * 3 + column)?;
                }
                writeln!(f)?;
            }
            write!(
                f,
                "ESR {:#010x} ({})  FAR {:#018x}  TTBR0 {:#018x}  SCTLR {:#010x}  TPIDR_EL0 {:#018x}",
                r.syndrome,
                SyndromeInWords(r.syndrome),
                r.address,
                TTBR0_EL1.get(),
                SCTLR_EL1.get(),
                cpu::read_thread_pointer(),
            )
        }
    }
    Shown(frame.clone())
}

/// A syndrome in words (Arm ARM, ESR_EL1).
struct SyndromeInWords(u64);

impl fmt::Display for SyndromeInWords {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let syndrome = self.0;
        let abort = match class_of(syndrome) {
            class::DATA_ABORT => "data abort",
            class::INSTRUCTION_ABORT => "instruction abort",
            _ if syndrome == 0 => return f.write_str("none"),
            class => return f.write_str(class_name(class)),
        };
        let access = match access_of(syndrome) {
            Access::Read => "read",
            Access::Write => "write",
            Access::Execute => "fetch",
        };
        let status = syndrome & 0x3f;
        // The low two bits are the level of the table whose entry was at fault; the last level is 3.
        let (what, has_level) = match status {
            0x00..=0x03 => ("address size fault", true),
            0x04..=0x07 => ("translation fault", true),
            0x08..=0x0b => ("access flag fault", true),
            0x0c..=0x0f => ("permission fault", true),
            0x10 => ("external abort", false),
            0x14..=0x17 => ("external abort on the table walk", true),
            0x18 => ("parity or ECC error", false),
            0x1c..=0x1f => ("parity or ECC error on the table walk", true),
            0x21 => ("alignment fault", false),
            0x30 => ("TLB conflict", false),
            _ => return write!(f, "{abort}, {access}, status {status:#x}"),
        };
        write!(f, "{abort}, {access}, {what}")?;
        if has_level {
            write!(f, ", level {}", status & 3)?;
        }
        Ok(())
    }
}

/// The registers as they are here, for a report that no exception began. What
/// a call may change is not known any more and reads as zero.
#[inline(always)]
pub fn capture_registers() -> TrapFrame {
    let mut frame = TrapFrame::default();
    // SAFETY: reads registers and stores them in `frame`.
    unsafe {
        core::arch::asm!(
            "stp x19, x20, [{0}, 152]",
            "stp x21, x22, [{0}, 168]",
            "stp x23, x24, [{0}, 184]",
            "stp x25, x26, [{0}, 200]",
            "stp x27, x28, [{0}, 216]",
            "stp x29, x30, [{0}, 232]",
            "mov {1}, sp",
            "str {1}, [{0}, {sp}]",
            "adr {1}, .",
            "str {1}, [{0}, {pc}]",
            "mrs {1}, daif",
            "str {1}, [{0}, {pstate}]",
            in(reg) &raw mut frame,
            out(reg) _,
            sp = const offset_of!(TrapFrame, sp),
            pc = const offset_of!(TrapFrame, pc),
            pstate = const offset_of!(TrapFrame, pstate),
            options(nostack, preserves_flags),
        );
    }
    frame
}

/// Program counter and frame pointer of interrupted code.
pub fn code_position(frame: &TrapFrame) -> (usize, usize) {
    (frame.pc as usize, frame.x[29] as usize)
}

/// A CPU that stopped for a report.
pub struct StoppedCpu {
    pub registers: &'static TrapFrame,
    pub thread: *const Thread,
}

/// What a CPU was doing when it stopped; `None` if it has not.
pub fn stopped_cpu(id: CpuId) -> Option<StoppedCpu> {
    let cpu = per_cpu::cpu(id)?;
    // Acquire pairs with the Release in `cpu::stop_here`: the frame is complete.
    let frame = cpu.stopped_at.load(Ordering::Acquire) as *const TrapFrame;
    // SAFETY: a stopped CPU never leaves the stack its frame is on.
    let registers = unsafe { frame.as_ref() }?;
    Some(StoppedCpu {
        registers,
        thread: cpu.stopped_thread.load(Ordering::Relaxed),
    })
}
