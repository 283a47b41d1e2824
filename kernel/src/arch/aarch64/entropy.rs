//! What the processor offers that nobody can predict (Arm ARM, FEAT_RNG).

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

use aarch64_cpu::registers::{CNTVCT_EL0, ID_AA64ISAR0_EL1, Readable};

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const RNDR: u8 = 2;

static SOURCE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// How often an empty generator is asked again.
const ATTEMPTS: usize = 10;

fn source() -> u8 {
    let known = SOURCE.load(Ordering::Relaxed);
    if known != UNKNOWN {
        return known;
    }
    let has_rndr = ID_AA64ISAR0_EL1.get() >> 60 != 0;
    let found = if has_rndr { RNDR } else { NONE };
    SOURCE.store(found, Ordering::Relaxed);
    found
}

/// Returns a random number of the processor's; `None` if it makes none, or none just now.
pub fn hardware_random() -> Option<u64> {
    if source() != RNDR {
        return None;
    }
    (0..ATTEMPTS).find_map(|_| {
        let (value, is_valid): (u64, u64);
        // SAFETY: the feature register says that RNDRRS (reseeded before each number) exists; it changes a
        // register and flags: Z says that there was no number.
        unsafe {
            asm!("mrs {}, s3_3_c2_c4_1", "cset {}, ne", out(reg) value, out(reg) is_valid, options(nomem, nostack));
        }
        (is_valid != 0).then_some(value)
    })
}

/// Returns the cycle counter.
pub fn cycle_counter() -> u64 {
    CNTVCT_EL0.get()
}
