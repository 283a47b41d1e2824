//! The bytes that a device has delivered and nobody has looked at: a ring that an interrupt
//! handler fills without allocating.

/// Room for a burst while the terminal's thread is on its way to a CPU.
const SIZE: usize = 4096;

/// A ring of bytes.
pub struct Received {
    bytes: [u8; SIZE],
    /// Where the oldest byte is.
    start: usize,
    len: usize,
}

impl Received {
    /// An empty ring.
    pub const fn new() -> Self {
        Self {
            bytes: [0; SIZE],
            start: 0,
            len: 0,
        }
    }

    /// No byte fits.
    pub fn is_full(&self) -> bool {
        self.len == SIZE
    }

    /// Adds a byte; there is room.
    pub fn push(&mut self, byte: u8) {
        self.bytes[(self.start + self.len) % SIZE] = byte;
        self.len += 1;
    }

    /// Moves the oldest bytes into `to`; returns how many.
    pub fn pop(&mut self, to: &mut [u8]) -> usize {
        let count = self.len.min(to.len());
        for (i, byte) in to[..count].iter_mut().enumerate() {
            *byte = self.bytes[(self.start + i) % SIZE];
        }
        self.start = (self.start + count) % SIZE;
        self.len -= count;
        count
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl Default for Received {
    fn default() -> Self {
        Self::new()
    }
}
