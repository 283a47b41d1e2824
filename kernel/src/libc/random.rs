//! Random numbers: getrandom(2), and the source of /dev/random and /dev/urandom.
//!
//! A key is made of whatever is unpredictable: the processor's random numbers (RDSEED, RDRAND)
//! where it has them, a virtio device's, and always the jitter of the cycle counter, sampled at
//! start and at interrupts. Entropy goes in by exchanging the key for a keyed ChaCha20 output
//! (a pseudo-random function of everything so far and the new input), so a bad source does not
//! spoil a good one. Every request takes a key of its own from the pool, whose key is replaced at
//! the same time: what was handed out cannot be computed from what is kept.

use core::sync::atomic::{AtomicU64, Ordering};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use linux_raw_sys::general as raw;
use linux_raw_sys::general::*;
use smp::SpinLock;

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::signal::has_effect;
use super::time::{NS_PER_SEC, monotonic_ns, realtime_ns};
use crate::arch;
use crate::memory::user::copy_to_user;

/// The calls of this file.
pub const CALLS: Calls = &[(__NR_getrandom, getrandom)];

const KEY_SIZE: usize = 32;

/// Fresh entropy goes in at least this often while numbers are asked for.
const RESEED_NS: u64 = 60 * NS_PER_SEC;

/// Samples of the cycle counter at start. One sample in which the hardware was disturbed (a
/// cache miss, an interrupt, the host's scheduler under emulation) is worth at least a bit; these
/// are many times the 256 that are needed.
const JITTER_SAMPLES: usize = 4096;

/// Where entropy collects and keys come from.
struct Pool {
    key: [u8; KEY_SIZE],
    is_seeded: bool,
    reseeded_ns: u64,
}

static POOL: SpinLock<Pool> = SpinLock::new(Pool {
    key: [0; KEY_SIZE],
    is_seeded: false,
    reseeded_ns: 0,
});

/// What interrupts added since the last reseeding.
static INTERRUPT_JITTER: AtomicU64 = AtomicU64::new(0);

impl Pool {
    /// Mixes `input` into the key.
    fn absorb(&mut self, input: &[u8]) {
        for block in input.chunks(KEY_SIZE) {
            for (key, byte) in self.key.iter_mut().zip(block) {
                *key ^= byte;
            }
            ChaCha20Rng::from_seed(self.key).fill_bytes(&mut self.key);
        }
    }

    fn absorb_word(&mut self, word: u64) {
        self.absorb(&word.to_ne_bytes());
    }

    /// Takes a key, and replaces the pool's own so that the two tell nothing about each other.
    fn take_key(&mut self) -> [u8; KEY_SIZE] {
        let mut output = [0; 2 * KEY_SIZE];
        ChaCha20Rng::from_seed(self.key).fill_bytes(&mut output);
        let (own, taken) = output.split_at(KEY_SIZE);
        self.key.copy_from_slice(own);
        let mut key = [0; KEY_SIZE];
        key.copy_from_slice(taken);
        key
    }
}

/// Adds the moment of an interrupt; cheap enough for every one.
pub fn add_interrupt_jitter(cycles: u64) {
    // A lost update under contention is itself unpredictable.
    let mixed = INTERRUPT_JITTER.load(Ordering::Relaxed).rotate_left(7) ^ cycles;
    INTERRUPT_JITTER.store(mixed, Ordering::Relaxed);
}

/// Adds what a device, or a program that writes to /dev/random, considers random.
pub fn mix(input: &[u8]) {
    for chunk in input.chunks(KEY_SIZE) {
        POOL.lock().absorb(chunk);
    }
}

/// Gathers the differences between readings of the cycle counter while memory is walked in an order
/// that depends on them.
fn add_jitter() {
    let mut memory = [0u8; 4096];
    let mut at = 0usize;
    let mut last = arch::entropy::cycle_counter();
    for _ in 0..JITTER_SAMPLES / KEY_SIZE {
        let mut block = [0u8; KEY_SIZE];
        for byte in &mut block {
            for _ in 0..16 {
                memory[at] = memory[at].wrapping_add(last as u8 | 1);
                at = (at + 1 + usize::from(memory[at]) * 61) % memory.len();
            }
            let now = core::hint::black_box(arch::entropy::cycle_counter());
            let difference = now.wrapping_sub(last);
            *byte = (difference ^ difference >> 8) as u8;
            last = now;
        }
        POOL.lock().absorb(&block);
    }
    POOL.lock().absorb_word(last);
}

/// Adds 512 bits of the processor's own random numbers, where it has them.
fn add_hardware_entropy() {
    for _ in 0..8 {
        if let Some(word) = arch::entropy::hardware_random() {
            POOL.lock().absorb_word(word);
        }
    }
}

fn seed() {
    add_hardware_entropy();
    add_jitter();
    let mut pool = POOL.lock();
    pool.absorb_word(realtime_ns());
    pool.absorb_word(arch::entropy::cycle_counter());
    pool.reseeded_ns = monotonic_ns();
    pool.is_seeded = true;
}

fn reseed() {
    add_hardware_entropy();
    let mut pool = POOL.lock();
    pool.absorb_word(INTERRUPT_JITTER.load(Ordering::Relaxed));
    pool.absorb_word(arch::entropy::cycle_counter());
    pool.reseeded_ns = monotonic_ns();
}

/// A generator for one request, with a key that nothing else ever has.
fn generator() -> ChaCha20Rng {
    let (is_seeded, reseeded_ns) = {
        let pool = POOL.lock();
        (pool.is_seeded, pool.reseeded_ns)
    };
    if !is_seeded {
        seed();
    } else if monotonic_ns().saturating_sub(reseeded_ns) > RESEED_NS {
        reseed();
    }
    let mut pool = POOL.lock();
    pool.absorb_word(arch::entropy::cycle_counter());
    ChaCha20Rng::from_seed(pool.take_key())
}

/// Fills `bytes` with random numbers.
pub fn fill(bytes: &mut [u8]) {
    generator().fill_bytes(bytes);
}

/// getrandom(2). The pool is seeded by the first request, so none has to wait.
fn getrandom(a: &[usize; 6]) -> SysResult {
    let &[out, len, flags, ..] = a;
    let flags = flags as u32;
    let exclusive = raw::GRND_RANDOM | raw::GRND_INSECURE;
    if flags & !(exclusive | raw::GRND_NONBLOCK) != 0 || flags & exclusive == exclusive {
        return Err(Errno::EINVAL);
    }
    let len = len.min(i32::MAX as usize);
    let mut generator = generator();
    let mut chunk = [0u8; 1024];
    let mut filled = 0;
    while filled < len {
        let now = chunk.len().min(len - filled);
        generator.fill_bytes(&mut chunk[..now]);
        if let Err(fault) = copy_to_user(out.wrapping_add(filled), &chunk[..now]) {
            return if filled == 0 {
                Err(fault.into())
            } else {
                Ok(filled)
            };
        }
        filled += now;
        // A long request ends early for a signal, a short one never does.
        if filled.is_multiple_of(64 * 1024) && has_effect() {
            break;
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_give_the_same_numbers() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut bytes = [0; 16];
            fill(&mut bytes);
            assert!(seen.insert(bytes));
        }
    }

    #[test]
    fn every_bit_of_the_input_changes_the_key() {
        let key = |input: &[u8]| {
            let mut pool = Pool {
                key: [7; KEY_SIZE],
                is_seeded: true,
                reseeded_ns: 0,
            };
            pool.absorb(input);
            pool.take_key()
        };
        assert_ne!(key(&[0; 40]), key(&[0; 20]));
        let mut input = [0; 40];
        input[39] = 1;
        assert_ne!(key(&[0; 40]), key(&input));
    }

    #[test]
    fn bits_are_balanced() {
        let mut bytes = vec![0; 1 << 16];
        fill(&mut bytes);
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        let half = (bytes.len() * 4) as i64;
        // Six standard deviations.
        assert!(
            (i64::from(ones) - half).abs() < 6 * 362,
            "{ones} of {}",
            half * 2
        );
    }
}
