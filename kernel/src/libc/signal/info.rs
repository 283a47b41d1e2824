//! `siginfo_t`: who sent a signal and why; see sigaction(2).
//!
//! The layout is the same on every 64-bit Linux: three words, padding, then a union whose
//! members share offsets: process and user at 16 and 20 (or a fault's address at 16, or a
//! timer's id and overrun count), the value that came along at 24.

use super::set::Signal;
use linux_raw_sys::general as raw;

const SIGNO: usize = 0;
const CODE: usize = 8;
const PID_OR_TIMER: usize = 16;
const UID_OR_OVERRUN: usize = 20;
const ADDRESS: usize = 16;
const VALUE: usize = 24;

/// One signal's story, in the bytes that a handler receives.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct SignalInfo {
    bytes: [u8; Self::SIZE],
}

impl SignalInfo {
    /// Its size in C.
    pub const SIZE: usize = raw::SI_MAX_SIZE as usize;

    fn new(signal: Signal, code: i32) -> Self {
        let mut info = Self {
            bytes: [0; Self::SIZE],
        };
        info.put_i32(SIGNO, signal.number());
        info.put_i32(CODE, code);
        info
    }

    /// From kill(2), `raise` and the like, by process `pid` of user 0.
    pub fn from_user(signal: Signal, pid: i32) -> Self {
        let mut info = Self::new(signal, raw::SI_USER as i32);
        info.put_i32(PID_OR_TIMER, pid);
        info
    }

    /// From tkill(2) or tgkill(2).
    pub fn from_thread(signal: Signal, pid: i32) -> Self {
        let mut info = Self::new(signal, raw::SI_TKILL);
        info.put_i32(PID_OR_TIMER, pid);
        info
    }

    /// From the kernel: a typed interrupt character, a resized window.
    pub fn from_kernel(signal: Signal) -> Self {
        Self::new(signal, raw::SI_KERNEL as i32)
    }

    /// From timer `id` of timer_create(2).
    pub fn from_timer(signal: Signal, id: i32, overrun: i32, value: u64) -> Self {
        let mut info = Self::new(signal, raw::SI_TIMER);
        info.put_i32(PID_OR_TIMER, id);
        info.put_i32(UID_OR_OVERRUN, overrun);
        info.put_u64(VALUE, value);
        info
    }

    /// From an instruction that faulted at, or on, `address`; `code` says how.
    pub fn from_fault(signal: Signal, code: i32, address: usize) -> Self {
        let mut info = Self::new(signal, code);
        info.put_u64(ADDRESS, address as u64);
        info
    }

    /// As rt_sigqueueinfo(2) was given it, with `signal` put in.
    pub fn from_bytes(signal: Signal, bytes: [u8; Self::SIZE]) -> Self {
        let mut info = Self { bytes };
        info.put_i32(SIGNO, signal.number());
        info
    }

    /// The bytes that C reads.
    pub fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    /// `si_code`.
    pub fn code(&self) -> i32 {
        self.get_i32(CODE)
    }

    /// The timer that sent it, if one did.
    pub fn timer(&self) -> Option<i32> {
        (self.code() == raw::SI_TIMER).then(|| self.get_i32(PID_OR_TIMER))
    }

    /// Notes how often a timer expired unseen.
    pub fn set_overrun(&mut self, overrun: i32) {
        self.put_i32(UID_OR_OVERRUN, overrun);
    }

    /// The address that a fault was about.
    pub fn address(&self) -> usize {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.bytes[ADDRESS..ADDRESS + 8]);
        u64::from_ne_bytes(bytes) as usize
    }

    fn get_i32(&self, at: usize) -> i32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.bytes[at..at + 4]);
        i32::from_ne_bytes(bytes)
    }

    fn put_i32(&mut self, at: usize, value: i32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_u64(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
}
