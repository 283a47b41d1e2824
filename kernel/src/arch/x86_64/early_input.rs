//! What the serial port received before the kernel has set it up: setting it up empties its FIFO.

/// What the FIFO of a port holds, at least.
const SIZE: usize = 32;

/// The bytes, oldest first.
pub struct EarlyInput {
    bytes: [u8; SIZE],
    taken: usize,
    len: usize,
}

impl Default for EarlyInput {
    fn default() -> Self {
        Self::new()
    }
}

impl EarlyInput {
    /// Makes an empty one.
    pub const fn new() -> Self {
        EarlyInput {
            bytes: [0; SIZE],
            taken: 0,
            len: 0,
        }
    }

    /// Keeps what `receive` gives, until it gives nothing or there is no room.
    pub fn fill(&mut self, mut receive: impl FnMut() -> Option<u8>) {
        while self.len < SIZE
            && let Some(byte) = receive()
        {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    /// Takes the oldest byte.
    pub fn take(&mut self) -> Option<u8> {
        let byte = *self.bytes[..self.len].get(self.taken)?;
        self.taken += 1;
        Some(byte)
    }
}
