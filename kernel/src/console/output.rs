//! The output half of a terminal's modes: what a written byte becomes on the
//! line, and where the cursor is then; see `c_oflag` in termios(3).

use alloc::vec::Vec;

use super::termios::{OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, Termios, XTABS};

/// Translates output and follows the column of the cursor.
pub struct OutputFilter {
    column: usize,
}

impl OutputFilter {
    /// A cursor at the left margin.
    pub const fn new() -> Self {
        Self { column: 0 }
    }

    /// The column the cursor is in, as far as plain text tells.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Appends to `out` what `bytes` become under the modes of `termios`.
    pub fn send(&mut self, termios: &Termios, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len());
        for &byte in bytes {
            if termios.has_output(OPOST) {
                self.send_processed(termios, byte, out);
            } else {
                self.advance(byte);
                out.push(byte);
            }
        }
    }

    fn send_processed(&mut self, termios: &Termios, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'\n' if termios.has_output(ONLCR) => {
                out.extend_from_slice(b"\r\n");
                self.column = 0;
            }
            b'\n' => {
                out.push(byte);
                if termios.has_output(ONLRET) {
                    self.column = 0;
                }
            }
            b'\r' if termios.has_output(ONOCR) && self.column == 0 => {}
            b'\r' if termios.has_output(OCRNL) => {
                out.push(b'\n');
                if termios.has_output(ONLRET) {
                    self.column = 0;
                }
            }
            b'\t' if termios.output & TABDLY == XTABS => {
                let width = 8 - (self.column & 7);
                out.extend(core::iter::repeat_n(b' ', width));
                self.column += width;
            }
            byte => {
                let byte = if termios.has_output(OLCUC) {
                    byte.to_ascii_uppercase()
                } else {
                    byte
                };
                self.advance(byte);
                out.push(byte);
            }
        }
    }

    fn advance(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\x08' => self.column = self.column.saturating_sub(1),
            b'\t' => self.column = (self.column | 7) + 1,
            byte if byte.is_ascii_control() || byte & 0xc0 == 0x80 => {}
            _ => self.column += 1,
        }
    }
}
