//! The options below level SOL_SOCKET: IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_TCP.

use super::TCP;
use super::address::Family;
use super::keep_alive;
use super::link::Version;
use crate::fs::socket_options::{Options, words};
use crate::libc::errno::Errno;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linux_raw_sys::net as raw;
use smoltcp::socket::tcp;
use smoltcp::time::Duration;

/// IPPROTO_IP.
pub const IP: u32 = 0;
/// IPPROTO_IPV6.
pub const IPV6: u32 = 41;
/// How long an acknowledgement waits for company: for the answer of the program, or for the next segment.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// The hop limit of a new socket.
const HOP_LIMIT: u32 = 64;
/// Seconds of silence before a connection with SO_KEEPALIVE is asked whether it lives (tcp(7)).
const KEEP_IDLE: u32 = 7200;
const KEEP_IDLE_MAX: u32 = 32767;
/// Seconds that an answer is waited for, and how often it is asked.
const KEEP_INTERVAL: u32 = 75;
const KEEP_INTERVAL_MAX: u32 = 32767;
const KEEP_COUNT: u32 = 9;
const KEEP_COUNT_MAX: u32 = 127;
/// How long the other end may leave what it was sent unacknowledged (`tcp_retries2` comes to this).
const PATIENCE: Duration = Duration::from_secs(924);

/// What IP_MTU_DISCOVER can be, and which of it keeps what is too long for the way from being cut up.
const MTU_DISCOVER_MAX: u32 = raw::IP_PMTUDISC_OMIT;
const WHOLE_ONLY: [u32; 3] = [
    raw::IP_PMTUDISC_DO,
    raw::IP_PMTUDISC_PROBE,
    raw::IP_PMTUDISC_INTERFACE,
];

/// Switches by which a receiver asks to be told more of each datagram ([`super::control`]).
const WISHES: [(u32, u32); 6] = [
    (IP, raw::IP_PKTINFO),
    (IP, raw::IP_RECVTTL),
    (IP, raw::IP_RECVTOS),
    (IPV6, raw::IPV6_RECVPKTINFO),
    (IPV6, raw::IPV6_RECVHOPLIMIT),
    (IPV6, raw::IPV6_RECVTCLASS),
];

fn wish_bit(level: u32, name: u32) -> Option<u32> {
    let index = WISHES.iter().position(|&each| each == (level, name))?;
    Some(1 << index)
}

/// The values of one socket.
pub struct IpOptions {
    is_v6_only: AtomicBool,
    has_no_delay: AtomicBool,
    has_quick_ack: AtomicBool,
    /// Somebody has set TCP_QUICKACK.
    has_set_quick_ack: AtomicBool,
    hop_limit: AtomicU32,
    keep_idle_seconds: AtomicU32,
    keep_interval_seconds: AtomicU32,
    keep_count: AtomicU32,
    /// TCP_USER_TIMEOUT; 0: the system's patience.
    user_timeout_ms: AtomicU32,
    /// IP_MTU_DISCOVER and IPV6_MTU_DISCOVER.
    mtu_discover: [AtomicU32; 2],
    /// IPV6_DONTFRAG.
    is_v6_whole: AtomicBool,
    /// A bit for each of [`WISHES`].
    wishes: AtomicU32,
}

impl Default for IpOptions {
    fn default() -> Self {
        IpOptions {
            is_v6_only: AtomicBool::new(false),
            has_no_delay: AtomicBool::new(false),
            // As Linux tells of a new connection.
            has_quick_ack: AtomicBool::new(true),
            has_set_quick_ack: AtomicBool::new(false),
            hop_limit: AtomicU32::new(HOP_LIMIT),
            keep_idle_seconds: AtomicU32::new(KEEP_IDLE),
            keep_interval_seconds: AtomicU32::new(KEEP_INTERVAL),
            keep_count: AtomicU32::new(KEEP_COUNT),
            user_timeout_ms: AtomicU32::new(0),
            mtu_discover: [raw::IP_PMTUDISC_WANT; 2].map(AtomicU32::new),
            is_v6_whole: AtomicBool::new(false),
            wishes: AtomicU32::new(0),
        }
    }
}

impl IpOptions {
    /// Tells whether IPV6_V6ONLY is set.
    pub fn is_v6_only(&self) -> bool {
        self.is_v6_only.load(Ordering::Relaxed)
    }

    /// Tells whether a switch is on that asks for a control message.
    pub fn wants(&self, level: u32, name: u32) -> bool {
        let wishes = self.wishes.load(Ordering::Relaxed);
        wish_bit(level, name).is_some_and(|bit| wishes & bit != 0)
    }

    /// Returns the hop limit of the packets that the socket sends.
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit.load(Ordering::Relaxed) as u8
    }

    /// Tells whether a datagram may be cut up that is too long for one packet.
    pub fn may_fragment(&self, version: Version) -> bool {
        let mode = self.mtu_discover[version as usize].load(Ordering::Relaxed);
        let is_whole = version == Version::V6 && self.is_v6_whole.load(Ordering::Relaxed);
        !is_whole && !WHOLE_ONLY.contains(&mode)
    }

    /// Takes over another socket's values, as an accepted connection does from its listener.
    pub fn copy_from(&self, other: &IpOptions) {
        let flag = |to: &AtomicBool, from: &AtomicBool| {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        let number = |to: &AtomicU32, from: &AtomicU32| {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        flag(&self.is_v6_only, &other.is_v6_only);
        flag(&self.has_no_delay, &other.has_no_delay);
        flag(&self.has_quick_ack, &other.has_quick_ack);
        flag(&self.has_set_quick_ack, &other.has_set_quick_ack);
        number(&self.hop_limit, &other.hop_limit);
        number(&self.keep_idle_seconds, &other.keep_idle_seconds);
        number(&self.keep_interval_seconds, &other.keep_interval_seconds);
        number(&self.keep_count, &other.keep_count);
        number(&self.user_timeout_ms, &other.user_timeout_ms);
        for (to, from) in self.mtu_discover.iter().zip(&other.mtu_discover) {
            number(to, from);
        }
        flag(&self.is_v6_whole, &other.is_v6_whole);
    }

    /// Returns how long the other end may leave `queue` bytes unacknowledged; `None`: it owes no answer.
    pub fn patience(&self, queue: usize) -> Option<Duration> {
        let patience = match self.user_timeout_ms.load(Ordering::Relaxed) {
            0 => PATIENCE,
            ms => Duration::from_millis(ms.into()),
        };
        (queue > 0).then_some(patience)
    }

    /// Returns how a silent connection is asked whether it lives; `None`: it is not (SO_KEEPALIVE).
    pub fn keep_alive(&self, options: &Options) -> Option<keep_alive::Settings> {
        let seconds = |from: &AtomicU32| Duration::from_secs(from.load(Ordering::Relaxed).into());
        let user_timeout = match self.user_timeout_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Duration::from_millis(ms.into())),
        };
        options
            .is_on(raw::SO_KEEPALIVE)
            .then(|| keep_alive::Settings {
                idle: seconds(&self.keep_idle_seconds),
                interval: seconds(&self.keep_interval_seconds),
                count: self.keep_count.load(Ordering::Relaxed),
                user_timeout,
            })
    }

    /// Gives a connection, over `lo` or not, the options that it has to know.
    pub fn apply(&self, socket: &mut tcp::Socket, is_loopback: bool) {
        socket.set_nagle_enabled(!self.has_no_delay.load(Ordering::Relaxed));
        let has_quick_ack = if self.has_set_quick_ack.load(Ordering::Relaxed) {
            self.has_quick_ack.load(Ordering::Relaxed)
        } else {
            // An acknowledgement costs nothing where the other end is in the same memory. Over a card it costs as
            // much as a short answer, which takes it along.
            is_loopback
        };
        socket.set_ack_delay((!has_quick_ack).then_some(ACK_DELAY));
        socket.set_hop_limit(Some(self.hop_limit()));
    }

    /// Returns an option's value. `is_stream`: the socket speaks TCP.
    pub fn get(&self, level: u32, name: u32, is_stream: bool) -> Result<Vec<u8>, Errno> {
        let number = match (level, name) {
            (IPV6, raw::IPV6_V6ONLY) => u32::from(self.is_v6_only()),
            (IP, raw::IP_TTL) | (IPV6, raw::IPV6_UNICAST_HOPS) => u32::from(self.hop_limit()),
            (IP, raw::IP_MTU_DISCOVER) => self.mtu_discover[0].load(Ordering::Relaxed),
            (IPV6, raw::IPV6_MTU_DISCOVER) => self.mtu_discover[1].load(Ordering::Relaxed),
            (IPV6, raw::IPV6_DONTFRAG) => u32::from(self.is_v6_whole.load(Ordering::Relaxed)),
            (TCP, raw::TCP_NODELAY) if is_stream => {
                u32::from(self.has_no_delay.load(Ordering::Relaxed))
            }
            (TCP, raw::TCP_QUICKACK) if is_stream => {
                u32::from(self.has_quick_ack.load(Ordering::Relaxed))
            }
            (TCP, raw::TCP_KEEPIDLE) if is_stream => self.keep_idle_seconds.load(Ordering::Relaxed),
            (TCP, raw::TCP_KEEPINTVL) if is_stream => {
                self.keep_interval_seconds.load(Ordering::Relaxed)
            }
            (TCP, raw::TCP_KEEPCNT) if is_stream => self.keep_count.load(Ordering::Relaxed),
            (TCP, raw::TCP_USER_TIMEOUT) if is_stream => {
                self.user_timeout_ms.load(Ordering::Relaxed)
            }
            (TCP, raw::TCP_MAXSEG) if is_stream => (super::device::LOOPBACK_MTU - 40) as u32,
            _ if wish_bit(level, name).is_some() => u32::from(self.wants(level, name)),
            _ => return Err(unknown(level, is_stream)),
        };
        Ok(words(&[number]))
    }

    /// Sets an option.
    pub fn set(
        &self,
        family: Family,
        level: u32,
        name: u32,
        value: &[u8],
        is_stream: bool,
    ) -> Result<(), Errno> {
        let number = || {
            let bytes = value.first_chunk().ok_or(Errno::EINVAL)?;
            Ok::<i32, Errno>(i32::from_ne_bytes(*bytes))
        };
        match (level, name) {
            (IPV6, _) if family == Family::V4 => return Err(Errno::ENOPROTOOPT),
            (IPV6, raw::IPV6_V6ONLY) => self.is_v6_only.store(number()? != 0, Ordering::Relaxed),
            (IP, raw::IP_TTL) | (IPV6, raw::IPV6_UNICAST_HOPS) => {
                let hops = match number()? {
                    -1 => HOP_LIMIT,
                    hops @ 1..=255 => hops.cast_unsigned(),
                    _ => return Err(Errno::EINVAL),
                };
                self.hop_limit.store(hops, Ordering::Relaxed);
            }
            (IP, raw::IP_MTU_DISCOVER) | (IPV6, raw::IPV6_MTU_DISCOVER) => {
                let mode = within(number()?, 0, MTU_DISCOVER_MAX)?;
                self.mtu_discover[usize::from(level == IPV6)].store(mode, Ordering::Relaxed);
            }
            (IPV6, raw::IPV6_DONTFRAG) => {
                self.is_v6_whole.store(number()? != 0, Ordering::Relaxed);
            }
            (TCP, raw::TCP_NODELAY) if is_stream => {
                self.has_no_delay.store(number()? != 0, Ordering::Relaxed);
            }
            (TCP, raw::TCP_QUICKACK) if is_stream => {
                self.has_quick_ack.store(number()? != 0, Ordering::Relaxed);
                self.has_set_quick_ack.store(true, Ordering::Relaxed);
            }
            (TCP, raw::TCP_KEEPIDLE) if is_stream => {
                self.keep_idle_seconds
                    .store(within(number()?, 1, KEEP_IDLE_MAX)?, Ordering::Relaxed);
            }
            (TCP, raw::TCP_KEEPINTVL) if is_stream => {
                let seconds = within(number()?, 1, KEEP_INTERVAL_MAX)?;
                self.keep_interval_seconds.store(seconds, Ordering::Relaxed);
            }
            (TCP, raw::TCP_KEEPCNT) if is_stream => {
                let count = within(number()?, 1, KEEP_COUNT_MAX)?;
                self.keep_count.store(count, Ordering::Relaxed);
            }
            (TCP, raw::TCP_USER_TIMEOUT) if is_stream => {
                let ms = within(number()?, 0, i32::MAX.cast_unsigned())?;
                self.user_timeout_ms.store(ms, Ordering::Relaxed);
            }
            _ => {
                let bit = wish_bit(level, name).ok_or(unknown(level, is_stream))?;
                if number()? != 0 {
                    self.wishes.fetch_or(bit, Ordering::Relaxed);
                } else {
                    self.wishes.fetch_and(!bit, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

/// Tells whether an option asks how long packets to the peer may be.
pub fn is_path_mtu(level: u32, name: u32) -> bool {
    matches!((level, name), (IP, raw::IP_MTU) | (IPV6, raw::IPV6_MTU))
}

fn within(number: i32, least: u32, most: u32) -> Result<u32, Errno> {
    let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
    let is_within = (least..=most).contains(&number);
    is_within.then_some(number).ok_or(Errno::EINVAL)
}

fn unknown(level: u32, is_stream: bool) -> Errno {
    match level {
        IP | IPV6 => Errno::ENOPROTOOPT,
        TCP if is_stream => Errno::ENOPROTOOPT,
        _ => Errno::EOPNOTSUPP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn acknowledgements_wait_over_a_card_unless_a_program_says_otherwise() {
        let options = IpOptions::default();
        let buffer = || tcp::SocketBuffer::new(vec![0; 64]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        let mut delay = |options: &IpOptions, is_loopback| {
            options.apply(&mut socket, is_loopback);
            socket.ack_delay()
        };
        assert_eq!(delay(&options, false), Some(ACK_DELAY));
        assert_eq!(delay(&options, true), None);
        for (value, wanted) in [(1_i32, None), (0, Some(ACK_DELAY))] {
            let set = options.set(
                Family::V4,
                TCP,
                raw::TCP_QUICKACK,
                &value.to_ne_bytes(),
                true,
            );
            assert_eq!(set, Ok(()));
            let accepted = IpOptions::default();
            accepted.copy_from(&options);
            for is_loopback in [false, true] {
                assert_eq!(delay(&options, is_loopback), wanted);
                assert_eq!(delay(&accepted, is_loopback), wanted);
            }
        }
    }
}
