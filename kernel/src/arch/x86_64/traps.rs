//! What each interrupt and exception does.

use core::fmt;
use core::mem::offset_of;

use smp::{CpuId, Thread};
use x86_64::registers::control::{Cr2, Cr3, Cr4};
use x86_64::structures::idt::PageFaultErrorCode;

use super::preempt::{self, StackKind};
use super::trap_stubs::TrapFrame;
use super::{apic, cpu, guarded, irq, page_table, per_cpu, signal};
use crate::interrupts;
use crate::memory::{self, FaultOutcome, FaultReason};
use crate::report::{self, Fault};

const VECTOR_DEBUG: u64 = 1;
const VECTOR_NMI: u64 = 2;
const VECTOR_DOUBLE_FAULT: u64 = 8;
const VECTOR_PAGE_FAULT: u64 = 14;

/// Vectors 32 to 255.
pub extern "C" fn on_interrupt(frame: &mut TrapFrame) {
    match frame.vector as u8 {
        apic::VECTOR_TIMER => {
            apic::end_of_interrupt();
            interrupts::take(frame.vector as u32);
            smp::on_timer_interrupt();
        }
        apic::VECTOR_RESCHEDULE => {
            apic::end_of_interrupt();
            interrupts::take(frame.vector as u32);
            smp::on_reschedule_ipi();
        }
        apic::VECTOR_SHOOTDOWN => {
            apic::end_of_interrupt();
            interrupts::take(frame.vector as u32);
            smp::on_shootdown_ipi();
        }
        apic::VECTOR_ERROR => {
            apic::on_error();
            apic::end_of_interrupt();
        }
        // A spurious interrupt wants no end-of-interrupt (Intel SDM volume 3, 11.9).
        apic::VECTOR_SPURIOUS => {}
        vector => {
            irq::dispatch(vector);
            apic::end_of_interrupt();
        }
    }
    preempt::at_interrupt_exit(frame);
}

/// Vector 14.
pub extern "C" fn on_page_fault(frame: &mut TrapFrame) {
    let address = Cr2::read_raw() as usize;
    if report::is_in_progress_here() {
        // Nothing may be resolved any more: the locks belong to stopped CPUs.
        if !guarded::recover(frame) {
            fail(frame, Some(address));
        }
        return;
    }
    let error = PageFaultErrorCode::from_bits_truncate(frame.error);
    let outcome = if error.contains(PageFaultErrorCode::MALFORMED_TABLE) {
        FaultOutcome::Fatal(FaultReason::NotMapped)
    } else {
        memory::handle_page_fault(address, page_table::access_of(error), frame.rip as usize)
    };
    match outcome {
        FaultOutcome::Resolved => {}
        FaultOutcome::ContinueAt(next) => frame.rip = next as u64,
        FaultOutcome::Fatal(reason) => {
            let is_signal = is_c_code(frame) && signal::begin_page_fault(frame, address, reason);
            if !is_signal && !guarded::recover(frame) {
                if reason == FaultReason::NoMemory {
                    report::out_of_memory(frame, address);
                }
                fail(frame, Some(address));
            }
        }
    }
}

/// All exceptions but page fault, NMI, double fault and machine check.
pub extern "C" fn on_exception(frame: &mut TrapFrame) {
    if guarded::recover(frame) {
        return;
    }
    if is_c_code(frame) && signal::begin_exception(frame) {
        return;
    }
    fail(frame, None);
}

/// NMI, double fault, machine check.
pub extern "C" fn on_fatal_or_nmi(frame: &mut TrapFrame) {
    if frame.vector == VECTOR_NMI {
        if cpu::is_stopping() {
            cpu::stop_here(frame);
        }
        // From the chipset: memory or bus errors. Nothing tells what is broken.
        report::fatal(&Fault {
            title: "non-maskable interrupt",
            details: format_args!("the hardware reports a failure"),
            registers: Some(frame),
        });
    }
    fail(frame, None);
}

/// Whether the exception interrupted C code on a thread's own stack, which may
/// have a signal handler for it.
fn is_c_code(frame: &TrapFrame) -> bool {
    const INTERRUPTS: u64 = 1 << 9;
    !per_cpu::current().is_null()
        && frame.rflags & INTERRUPTS != 0
        && !preempt::is_trampoline(frame.rip)
        && preempt::stack_kind(frame.rsp) == StackKind::User
}

/// Reports an exception that nobody handles.
fn fail(frame: &TrapFrame, address: Option<usize>) -> ! {
    // A double fault comes of a page fault that found no stack either; CR2 tells where.
    let touched = match frame.vector {
        VECTOR_DOUBLE_FAULT => Some(Cr2::read_raw() as usize),
        _ => address,
    };
    let title = touched
        .and_then(|touched| stack_overflow(frame, touched))
        .unwrap_or_else(|| exception_name(frame.vector));
    match address {
        Some(address) => {
            let error = PageFaultErrorCode::from_bits_truncate(frame.error);
            let access = if error.contains(PageFaultErrorCode::INSTRUCTION_FETCH) {
                "execute"
            } else if error.contains(PageFaultErrorCode::CAUSED_BY_WRITE) {
                "write"
            } else {
                "read"
            };
            let why = if error.contains(PageFaultErrorCode::MALFORMED_TABLE) {
                "through a page table with reserved bits set"
            } else if error.contains(PageFaultErrorCode::PROTECTION_VIOLATION) {
                "which the page's protection forbids"
            } else if address < memory::PAGE_SIZE {
                "a null pointer"
            } else if memory::is_stack_guard(address) {
                "the guard page of a stack"
            } else {
                "where nothing is mapped"
            };
            report::fatal(&Fault {
                title,
                details: format_args!("{access} at {address:#x}, {why}"),
                registers: Some(frame),
            })
        }
        None => report::fatal(&Fault {
            title,
            details: format_args!("at {:#x}, error code {:#x}", frame.rip, frame.error),
            registers: Some(frame),
        }),
    }
}

/// Says which kind of stack ran into its guard page, if the fault is that: the address
/// is near the stack pointer, and below everything that is mapped there.
fn stack_overflow(frame: &TrapFrame, address: usize) -> Option<&'static str> {
    // A call pushes one word; a prologue may probe or skip some pages.
    const REACH: u64 = 64 * 1024;
    if (address as u64).abs_diff(frame.rsp) >= REACH {
        None
    } else if memory::is_stack_guard(address) {
        Some("kernel stack overflow")
    } else {
        page_table::USER_RANGE
            .contains(&address)
            .then_some("stack overflow")
    }
}

fn exception_name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        VECTOR_DEBUG => "debug exception",
        VECTOR_NMI => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        VECTOR_DOUBLE_FAULT => "double fault",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack-segment fault",
        13 => "general protection fault",
        VECTOR_PAGE_FAULT => "page fault",
        16 => "x87 floating-point exception",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point exception",
        20 => "virtualization exception",
        21 => "control protection exception",
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
                "RIP {:#018x}  RSP {:#018x}  RFLAGS {:#010x}",
                r.rip, r.rsp, r.rflags
            )?;
            writeln!(
                f,
                "RAX {:#018x}  RBX {:#018x}  RCX {:#018x}",
                r.rax, r.rbx, r.rcx
            )?;
            writeln!(
                f,
                "RDX {:#018x}  RSI {:#018x}  RDI {:#018x}",
                r.rdx, r.rsi, r.rdi
            )?;
            writeln!(
                f,
                "RBP {:#018x}  R8  {:#018x}  R9  {:#018x}",
                r.rbp, r.r8, r.r9
            )?;
            writeln!(
                f,
                "R10 {:#018x}  R11 {:#018x}  R12 {:#018x}",
                r.r10, r.r11, r.r12
            )?;
            writeln!(
                f,
                "R13 {:#018x}  R14 {:#018x}  R15 {:#018x}",
                r.r13, r.r14, r.r15
            )?;
            write!(
                f,
                "CR2 {:#018x}  CR3 {:#018x}  CR4 {:#010x}  FS {:#018x}",
                Cr2::read_raw(),
                Cr3::read_raw().0.start_address().as_u64(),
                Cr4::read_raw(),
                cpu::read_thread_pointer(),
            )
        }
    }
    Shown(frame.clone())
}

/// The registers as they are here, for a report that no exception began. What
/// a call may change is not known any more and reads as zero.
#[inline(always)]
pub fn capture_registers() -> TrapFrame {
    let mut frame = TrapFrame::default();
    // SAFETY: reads registers and stores them in `frame`.
    unsafe {
        core::arch::asm!(
            "mov [{0} + {rbx}], rbx",
            "mov [{0} + {rbp}], rbp",
            "mov [{0} + {rsp}], rsp",
            "mov [{0} + {r12}], r12",
            "mov [{0} + {r13}], r13",
            "mov [{0} + {r14}], r14",
            "mov [{0} + {r15}], r15",
            "lea {1}, [rip]",
            "mov [{0} + {rip}], {1}",
            "pushfq",
            "pop {1}",
            "mov [{0} + {rflags}], {1}",
            in(reg) &raw mut frame,
            out(reg) _,
            rbx = const offset_of!(TrapFrame, rbx),
            rbp = const offset_of!(TrapFrame, rbp),
            rsp = const offset_of!(TrapFrame, rsp),
            r12 = const offset_of!(TrapFrame, r12),
            r13 = const offset_of!(TrapFrame, r13),
            r14 = const offset_of!(TrapFrame, r14),
            r15 = const offset_of!(TrapFrame, r15),
            rip = const offset_of!(TrapFrame, rip),
            rflags = const offset_of!(TrapFrame, rflags),
        );
    }
    frame
}

/// Program counter and frame pointer of interrupted code.
pub fn code_position(frame: &TrapFrame) -> (usize, usize) {
    (frame.rip as usize, frame.rbp as usize)
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
    let frame = cpu.stopped_at.load(core::sync::atomic::Ordering::Acquire) as *const TrapFrame;
    // SAFETY: a stopped CPU never leaves the stack its frame is on.
    let registers = unsafe { frame.as_ref() }?;
    Some(StoppedCpu {
        registers,
        thread: cpu.current_thread(),
    })
}
