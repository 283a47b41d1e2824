//! What the processor offers that nobody can predict (Intel SDM volume 1, 7.3.17).

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

use raw_cpuid::CpuId;

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const RDRAND: u8 = 2;
const RDSEED: u8 = 3;

static SOURCE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// How often an empty generator is asked again, as Intel recommends for RDRAND.
const ATTEMPTS: usize = 10;

fn source() -> u8 {
    let known = SOURCE.load(Ordering::Relaxed);
    if known != UNKNOWN {
        return known;
    }
    let cpuid = CpuId::new();
    let has_rdseed = cpuid
        .get_extended_feature_info()
        .is_some_and(|features| features.has_rdseed());
    let has_rdrand = cpuid
        .get_feature_info()
        .is_some_and(|features| features.has_rdrand());
    let found = match (has_rdseed, has_rdrand) {
        (true, _) => RDSEED,
        (false, true) => RDRAND,
        (false, false) => NONE,
    };
    SOURCE.store(found, Ordering::Relaxed);
    found
}

/// Returns a random number of the processor's; `None` if it makes none, or none just now.
pub fn hardware_random() -> Option<u64> {
    let source = source();
    (0..ATTEMPTS).find_map(|_| {
        let (value, is_valid): (u64, u8);
        // SAFETY: CPUID says that the instruction exists; it changes a register and flags.
        unsafe {
            match source {
                RDSEED => asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) is_valid, options(nomem, nostack)),
                RDRAND => asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) is_valid, options(nomem, nostack)),
                _ => return None,
            }
        }
        // Some processors fail by giving all ones for ever (AMD erratum on resume).
        (is_valid != 0 && value != u64::MAX && value != 0).then_some(value)
    })
}

/// Returns the cycle counter.
pub fn cycle_counter() -> u64 {
    // SAFETY: reads a counter that every x86-64 processor has.
    unsafe { core::arch::x86_64::_rdtsc() }
}
