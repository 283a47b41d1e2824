//! The output half of a terminal's modes: what a written byte becomes on the
//! line, and where the cursor is then; see `c_oflag` in termios(3).

use alloc::vec::Vec;

use super::termios::{IUTF8, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, Termios, XTABS};

/// Translates output and follows the column of the cursor while `OPOST` is on.
pub struct OutputFilter {
    column: usize,
    /// The column in which the line that is being typed began.
    line_start: usize,
}

impl OutputFilter {
    /// A cursor at the left margin.
    pub const fn new() -> Self {
        Self {
            column: 0,
            line_start: 0,
        }
    }

    /// The column in which the line that is being typed began.
    pub fn line_start(&self) -> usize {
        self.line_start
    }

    /// Notes that the next thing typed begins a line.
    pub fn mark_line_start(&mut self) {
        self.line_start = self.column;
    }

    /// Moves the cursor back by one column, past the modes.
    pub fn back(&mut self, out: &mut Vec<u8>) {
        self.column = self.column.saturating_sub(1);
        out.push(b'\x08');
    }

    /// Shows a control character as `^X`, past the modes.
    pub fn show_control(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.column += 2;
        out.extend_from_slice(&[b'^', byte ^ 0x40]);
    }

    /// Appends to `out` what `bytes` become under the modes of `termios`.
    pub fn send(&mut self, termios: &Termios, bytes: &[u8], out: &mut Vec<u8>) {
        if !termios.has_output(OPOST) {
            out.extend_from_slice(bytes);
            return;
        }
        out.reserve(bytes.len());
        for &byte in bytes {
            self.send_processed(termios, byte, out);
        }
    }

    fn send_processed(&mut self, termios: &Termios, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'\n' => {
                if termios.has_output(ONLCR) {
                    out.push(b'\r');
                    self.column = 0;
                } else if termios.has_output(ONLRET) {
                    self.column = 0;
                }
                out.push(b'\n');
                self.line_start = self.column;
            }
            b'\r' if termios.has_output(ONOCR) && self.column == 0 => {}
            b'\r' if termios.has_output(OCRNL) => {
                if termios.has_output(ONLRET) {
                    (self.column, self.line_start) = (0, 0);
                }
                out.push(b'\n');
            }
            b'\r' => {
                (self.column, self.line_start) = (0, 0);
                out.push(b'\r');
            }
            b'\t' => {
                let width = 8 - self.column % 8;
                self.column += width;
                if termios.output & TABDLY == XTABS {
                    out.extend(core::iter::repeat_n(b' ', width));
                } else {
                    out.push(b'\t');
                }
            }
            b'\x08' => self.back(out),
            byte => {
                let is_continuation = termios.has_input(IUTF8) && byte & 0xc0 == 0x80;
                if !byte.is_ascii_control() && !is_continuation {
                    self.column += 1;
                }
                // Letters beyond ASCII are left alone: they are pieces of UTF-8.
                let is_raised = termios.has_output(OLCUC);
                out.push(if is_raised {
                    byte.to_ascii_uppercase()
                } else {
                    byte
                });
            }
        }
    }
}
