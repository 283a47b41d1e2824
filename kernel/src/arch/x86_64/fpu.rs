//! Floating point and vector state: what a CPU is set up with, and how much of
//! it a preempted thread has to keep.
//!
//! Kernel code is built without floating point, so only a preemption in the
//! middle of C code saves the whole state (`preempt`); a context switch that a
//! thread asks for keeps MXCSR and the x87 control word, as the System V ABI
//! says of any function call.

use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use raw_cpuid::CpuId;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// Bytes that FXSAVE writes (Intel SDM volume 1, 10.5.1).
const FXSAVE_SIZE: u32 = 512;
/// MXCSR after reset: all exceptions masked (Intel SDM volume 1, 10.2.3).
pub const DEFAULT_MXCSR: u32 = 0x1f80;
/// x87 control word after FNINIT: all exceptions masked, 64-bit precision.
pub const DEFAULT_X87_CONTROL: u32 = 0x37f;

/// Bytes of the area that the preemption trampoline saves into; read there.
pub(super) static SAVE_AREA_SIZE: AtomicU64 = AtomicU64::new(FXSAVE_SIZE as u64);
/// 1 if XSAVE is to be used, 0 for FXSAVE; read by the trampoline.
pub(super) static HAS_XSAVE: AtomicU32 = AtomicU32::new(0);

/// The state components that C code may use when the CPU has them: exactly
/// those that the trampoline saves.
const WANTED: XCr0Flags = XCr0Flags::X87
    .union(XCr0Flags::SSE)
    .union(XCr0Flags::AVX)
    .union(XCr0Flags::OPMASK)
    .union(XCr0Flags::ZMM_HI256)
    .union(XCr0Flags::HI16_ZMM);
const AVX_512: XCr0Flags = XCr0Flags::OPMASK
    .union(XCr0Flags::ZMM_HI256)
    .union(XCr0Flags::HI16_ZMM);

/// Sets floating point up on this CPU. All CPUs must agree, so secondary CPUs
/// come to the same result from the same CPUID leaves.
pub fn init() {
    let cpuid = CpuId::new();
    let features = cpuid.get_feature_info();
    // SAFETY: x86-64 CPUs have SSE2; no code relies on the bits being otherwise.
    unsafe {
        Cr0::update(|cr0| {
            cr0.remove(Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
            cr0.insert(Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR);
        });
        Cr4::update(|cr4| cr4.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE));
    }
    if features.is_some_and(|f| f.has_xsave()) {
        // Leaf 0xD: EDX:EAX are the components that the CPU can save.
        let leaf = __cpuid_count(0xd, 0);
        let bits = u64::from(leaf.eax) | u64::from(leaf.edx) << 32;
        let supported = XCr0Flags::from_bits_truncate(bits);
        let mut enabled = WANTED & supported;
        // AVX-512 is all three components or none (Intel SDM volume 1, 13.3).
        if !enabled.contains(AVX_512 | XCr0Flags::AVX) {
            enabled.remove(AVX_512);
        }
        // SAFETY: the CPU has XSAVE and these components, and the combination
        // is a valid one.
        unsafe {
            Cr4::update(|cr4| cr4.insert(Cr4Flags::OSXSAVE));
            XCr0::write(enabled);
        }
        // With XCR0 as it is now, EBX of leaf 0xD is the size that XSAVE needs.
        let size = __cpuid_count(0xd, 0).ebx.max(FXSAVE_SIZE);
        SAVE_AREA_SIZE.store(size.into(), Ordering::Relaxed);
        HAS_XSAVE.store(1, Ordering::Relaxed);
    }
    reset();
}

/// Puts the control registers of this CPU into the state in which a C function
/// may expect them.
pub fn reset() {
    // SAFETY: FNINIT and LDMXCSR change floating-point state alone, and kernel
    // code has none.
    unsafe {
        core::arch::asm!(
            "fninit",
            "ldmxcsr [{}]",
            in(reg) &DEFAULT_MXCSR,
            options(nostack, readonly)
        );
    }
}
