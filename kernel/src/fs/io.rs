//! Where a read puts its bytes and a write takes them from: C's memory or the kernel's own.
//!
//! C's memory is reached only through `memory::user`, which turns a fault into `EFAULT`. A
//! transfer that faults after some bytes have moved reports these bytes, as Linux does.

use crate::libc::errno::Errno;
use crate::memory::user;

/// One piece of C's memory: `struct iovec` (readv(2)).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct IoVec {
    /// Its address.
    pub base: usize,
    /// Its length in bytes.
    pub len: usize,
}

/// What a read writes to.
pub trait Sink {
    /// Returns how many bytes it can still take.
    fn remaining(&self) -> usize;

    /// Takes all of `bytes`; no more than `remaining`.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Errno>;

    /// Takes `count` zero bytes.
    fn put_zeros(&mut self, mut count: usize) -> Result<(), Errno> {
        static ZEROS: [u8; 512] = [0; 512];
        while count > 0 {
            let step = count.min(ZEROS.len());
            self.put(&ZEROS[..step])?;
            count -= step;
        }
        Ok(())
    }
}

/// What a write reads from.
pub trait Source {
    /// Returns how many bytes it still has.
    fn remaining(&self) -> usize;

    /// Fills all of `bytes`; no more than `remaining`.
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Errno>;
}

/// Pieces of C's memory, in order.
pub struct UserBuffers<'a> {
    pieces: &'a [IoVec],
    /// Bytes of `pieces[0]` already used.
    used: usize,
    remaining: usize,
}

/// The most bytes that one read or write moves (read(2)).
pub const MAX_TRANSFER: usize = 0x7fff_f000;

impl<'a> UserBuffers<'a> {
    /// Takes the pieces as they are; whether they are C's shows when they are touched.
    pub fn new(pieces: &'a [IoVec]) -> Self {
        let total = pieces
            .iter()
            .fold(0usize, |sum, piece| sum.saturating_add(piece.len));
        UserBuffers {
            pieces,
            used: 0,
            remaining: total.min(MAX_TRANSFER),
        }
    }

    /// Calls `step` with the next address and length, piece by piece, until `count` bytes are used.
    fn advance(
        &mut self,
        mut count: usize,
        mut step: impl FnMut(usize, usize) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        debug_assert!(count <= self.remaining);
        while count > 0 {
            let piece = self.pieces[0];
            let len = count.min(piece.len - self.used);
            if len > 0 {
                step(piece.base.wrapping_add(self.used), len)?;
            }
            self.used += len;
            self.remaining -= len;
            count -= len;
            if self.used == piece.len {
                self.pieces = &self.pieces[1..];
                self.used = 0;
            }
        }
        Ok(())
    }
}

impl Sink for UserBuffers<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        self.advance(bytes.len(), |address, len| {
            let (now, later) = bytes.split_at(len);
            user::copy_to_user(address, now).map_err(|_| Errno::EFAULT)?;
            bytes = later;
            Ok(())
        })
    }
}

impl Source for UserBuffers<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Errno> {
        let mut filled = 0;
        self.advance(bytes.len(), |address, len| {
            user::copy_from_user(&mut bytes[filled..filled + len], address)
                .map_err(|_| Errno::EFAULT)?;
            filled += len;
            Ok(())
        })
    }
}

/// The kernel's own memory as a sink.
pub struct KernelSink<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> KernelSink<'a> {
    /// Fills `buffer` from its start.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        KernelSink { buffer, used: 0 }
    }
}

impl Sink for KernelSink<'_> {
    fn remaining(&self) -> usize {
        self.buffer.len() - self.used
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.buffer[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
        Ok(())
    }
}

/// The kernel's own memory as a source.
impl Source for &[u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Errno> {
        let (now, later) = self.split_at(bytes.len());
        bytes.copy_from_slice(now);
        *self = later;
        Ok(())
    }
}
