//! The kernel log's memory: the newest bytes of all that was logged.
//!
//! Positions count every byte since boot, so a reader keeps its place while
//! the oldest lines fall out; a reader that was too slow continues at the
//! oldest whole line.

#![forbid(unsafe_code)]

/// A ring of `N` bytes of text lines.
pub struct Ring<const N: usize> {
    bytes: [u8; N],
    /// Position one past the newest byte.
    end: u64,
}

impl<const N: usize> Ring<N> {
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            end: 0,
        }
    }

    /// Position one past the newest byte.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Position of the oldest byte that belongs to a whole line.
    pub fn start(&self) -> u64 {
        let Some(oldest) = self.end.checked_sub(N as u64).filter(|&oldest| oldest > 0) else {
            return 0;
        };
        // What precedes the oldest byte is gone, so its line counts as cut,
        // even if the cut happens to fall between two lines.
        (oldest..self.end)
            .find(|&at| self.bytes[Self::index(at)] == b'\n')
            .map_or(self.end, |newline| newline + 1)
    }

    /// Appends bytes; the oldest fall out.
    pub fn push(&mut self, text: &[u8]) {
        for &byte in text {
            self.bytes[Self::index(self.end)] = byte;
            self.end += 1;
        }
    }

    /// Copies what follows position `from` into `buffer`. Returns where the
    /// copy began (later than `from` if lines were lost) and its length.
    pub fn read(&self, from: u64, buffer: &mut [u8]) -> (u64, usize) {
        let oldest = self.end.saturating_sub(N as u64);
        let from = if from < oldest {
            self.start()
        } else {
            from.min(self.end)
        };
        let len = buffer.len().min((self.end - from) as usize);
        for (i, slot) in buffer[..len].iter_mut().enumerate() {
            *slot = self.bytes[Self::index(from + i as u64)];
        }
        (from, len)
    }

    const fn index(position: u64) -> usize {
        (position % N as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use proptest::prelude::*;

    fn text<const N: usize>(ring: &Ring<N>, from: u64) -> (u64, String) {
        let mut buffer = [0; N];
        let (start, len) = ring.read(from, &mut buffer);
        (start, String::from_utf8_lossy(&buffer[..len]).into())
    }

    #[test]
    fn keeps_whole_lines() {
        let mut ring = Ring::<16>::new();
        ring.push(b"one\ntwo\nthree\n");
        assert_eq!(text(&ring, 0), (0, "one\ntwo\nthree\n".into()));
        ring.push(b"four\n");
        assert_eq!(text(&ring, 0), (4, "two\nthree\n".to_owned() + "four\n"));
    }

    #[test]
    fn a_reader_keeps_its_place() {
        let mut ring = Ring::<16>::new();
        ring.push(b"one\n");
        ring.push(b"two\n");
        assert_eq!(text(&ring, 4), (4, "two\n".into()));
        assert_eq!(text(&ring, 8), (8, String::new()));
        assert_eq!(text(&ring, 99), (8, String::new()));
    }

    proptest! {
        #[test]
        fn shows_the_newest_lines(lines in proptest::collection::vec("[a-z]{0,9}\n", 0..40)) {
            let mut ring = Ring::<32>::new();
            for line in &lines {
                ring.push(line.as_bytes());
            }
            let all = lines.concat();
            let (from, seen) = text(&ring, 0);
            prop_assert_eq!(&all[from as usize..], seen.as_str());
            prop_assert!(from == 0 || all.as_bytes()[from as usize - 1] == b'\n');
            prop_assert!(from == 0 || seen.len() <= 32);
        }
    }
}
