//! What lies between the bytes of a terminal line and a program that reads
//! lines: editing, echo, signals, flow control; see termios(3).
//!
//! Pure state: bytes go in, and what must happen outside comes back as a
//! [`Reaction`] and as bytes to send, so all of it is tested on the host.
//!
//! The queue holds, from front to back, what a reader may have and then the
//! line that is still being edited:
//!
//! ```text
//!   queue: [ readable ........ | being edited ....... ]
//!                              ^ committed
//! ```
//! Outside canonical mode everything is readable and `committed` is the length.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::output::OutputFilter;
use super::termios::{
    Control, DISABLED, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR,
    INLCR, ISIG, ISTRIP, IUCLC, IUTF8, IXANY, IXON, NOFLSH, Termios,
};

/// The most bytes a canonical line may have, its newline included (`MAX_CANON`
/// of Linux' own line discipline is 4096 too).
pub const MAX_LINE: usize = 4096;

/// The most bytes that wait for a reader before the line is told to pause.
pub const MAX_QUEUED: usize = 64 * 1024;

/// A signal that a typed character asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtySignal {
    /// `SIGINT`.
    Interrupt,
    /// `SIGQUIT`.
    Quit,
    /// `SIGTSTP`.
    Suspend,
}

/// What a received byte means to the world outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// The signal to send to the foreground process.
    pub signal: Option<TtySignal>,
    /// Output was stopped and may go on.
    pub output_resumed: bool,
}

/// One queued byte, and whether it ends a canonical line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queued {
    Byte(u8),
    /// A byte that ends a line and belongs to it.
    LineEnd(u8),
    /// An end-of-file mark: ends a line, but is not part of it.
    EndOfFile,
}

/// How much an editing character erases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

/// A byte of a word, to `VWERASE`: as in Linux, by Latin-1, in which the first bytes of UTF-8
/// characters are letters.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}

/// The line discipline of one terminal.
pub struct LineDiscipline {
    termios: Termios,
    queue: VecDeque<Queued>,
    /// How many entries at the front of `queue` are readable.
    committed: usize,
    /// How many of these are end-of-file marks.
    committed_marks: usize,
    /// The next byte loses its special meaning (`VLNEXT`).
    is_literal_next: bool,
    /// Output is stopped by `VSTOP`.
    is_stopped: bool,
    filter: OutputFilter,
}

impl LineDiscipline {
    /// A terminal with the console's settings and nothing typed yet.
    pub const fn new() -> Self {
        Self {
            termios: Termios::console(),
            queue: VecDeque::new(),
            committed: 0,
            committed_marks: 0,
            is_literal_next: false,
            is_stopped: false,
            filter: OutputFilter::new(),
        }
    }

    /// The settings in force.
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Output is stopped by `VSTOP`, or by `tcflow(TCOOFF)`.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Stops or restarts output, as `tcflow` does.
    pub fn set_stopped(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
    }

    /// Changes the settings. What was typed under the old ones is kept: turning
    /// canonical mode off makes an unfinished line readable, turning it on
    /// leaves what was readable readable.
    pub fn set_termios(&mut self, termios: Termios) {
        let was_canonical = self.termios.has_local(ICANON);
        self.termios = termios;
        if was_canonical != termios.has_local(ICANON) {
            self.change_canonical();
        }
        if !termios.has_input(IXON) {
            self.is_stopped = false;
        }
    }

    /// Makes one readable whole of all that is queued, as Linux does: bytes without lines, in which
    /// an end-of-file mark is a zero, or, in canonical mode, one line.
    fn change_canonical(&mut self) {
        for queued in &mut self.queue {
            *queued = match *queued {
                Queued::Byte(byte) | Queued::LineEnd(byte) => Queued::Byte(byte),
                Queued::EndOfFile => Queued::Byte(DISABLED),
            };
        }
        self.committed = self.queue.len();
        self.committed_marks = 0;
        self.is_literal_next = false;
        if self.termios.has_local(ICANON)
            && let Some(last) = self.queue.back_mut()
        {
            *last = match *last {
                Queued::Byte(DISABLED) => Queued::EndOfFile,
                Queued::Byte(byte) | Queued::LineEnd(byte) => Queued::LineEnd(byte),
                Queued::EndOfFile => Queued::EndOfFile,
            };
            self.committed_marks = usize::from(*last == Queued::EndOfFile);
        }
    }

    /// Throws away everything that nobody has read (`TCIFLUSH`).
    pub fn flush_input(&mut self) {
        self.queue.clear();
        self.committed = 0;
        self.committed_marks = 0;
        self.is_literal_next = false;
    }

    /// No more bytes should be taken from the line until somebody reads.
    /// In canonical mode never: there the rest of an over-long line is refused
    /// with a bell, so that the interrupt character still gets through.
    pub fn is_full(&self) -> bool {
        if self.termios.has_local(ICANON) {
            self.committed >= MAX_QUEUED
        } else {
            self.queue.len() >= MAX_QUEUED
        }
    }

    /// Takes a byte from the line; what must be sent back goes to `echo`.
    pub fn receive(&mut self, byte: u8, echo: &mut Vec<u8>) -> Reaction {
        let mut byte = byte;
        if self.termios.has_input(ISTRIP) {
            byte &= 0x7f;
        }
        if self.termios.has_input(IUCLC) && self.termios.has_local(IEXTEN) {
            byte = byte.to_ascii_lowercase();
        }
        if core::mem::take(&mut self.is_literal_next) {
            self.append(byte, echo);
            return Reaction::default();
        }
        let mut output_resumed = false;
        if self.termios.has_input(IXON) {
            if self.termios.is(Control::Start, byte) {
                // One character may be both: then it switches to and fro.
                let is_toggle = self.termios.is(Control::Stop, byte) && !self.is_stopped;
                let resumed = self.is_stopped;
                self.is_stopped = is_toggle;
                return Reaction {
                    output_resumed: resumed,
                    ..Reaction::default()
                };
            }
            if self.termios.is(Control::Stop, byte) {
                self.is_stopped = true;
                return Reaction::default();
            }
            if self.is_stopped && self.termios.has_input(IXANY) {
                self.is_stopped = false;
                output_resumed = true;
            }
        }
        if let Some(signal) = self.signal_for(byte) {
            // A signal ends a stop: its echo and the program's answer must show.
            output_resumed |= core::mem::take(&mut self.is_stopped);
            if !self.termios.has_local(NOFLSH) {
                self.flush_input();
            }
            self.echo_typed(byte, echo);
            return Reaction {
                signal: Some(signal),
                output_resumed,
            };
        }
        match byte {
            b'\r' if self.termios.has_input(IGNCR) => {
                return Reaction {
                    output_resumed,
                    ..Reaction::default()
                };
            }
            b'\r' if self.termios.has_input(ICRNL) => byte = b'\n',
            b'\n' if self.termios.has_input(INLCR) => byte = b'\r',
            _ => {}
        }
        if self.termios.has_local(ICANON) {
            self.receive_canonical(byte, echo);
        } else {
            self.append(byte, echo);
        }
        Reaction {
            signal: None,
            output_resumed,
        }
    }

    fn signal_for(&self, byte: u8) -> Option<TtySignal> {
        if !self.termios.has_local(ISIG) || byte == DISABLED {
            return None;
        }
        [
            (Control::Interrupt, TtySignal::Interrupt),
            (Control::Quit, TtySignal::Quit),
            (Control::Suspend, TtySignal::Suspend),
        ]
        .into_iter()
        .find_map(|(control, signal)| self.termios.is(control, byte).then_some(signal))
    }

    fn receive_canonical(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let is_extended = self.termios.has_local(IEXTEN);
        if self.termios.is(Control::Erase, byte) {
            self.erase(Erase::Character, byte, echo);
        } else if is_extended && self.termios.is(Control::WordErase, byte) {
            self.erase(Erase::Word, byte, echo);
        } else if self.termios.is(Control::Kill, byte) {
            self.erase(Erase::Line, byte, echo);
        } else if is_extended && self.termios.is(Control::LiteralNext, byte) {
            self.is_literal_next = true;
            if self.termios.has_local(ECHO | ECHOCTL) {
                echo.extend_from_slice(b"^\x08");
            }
        } else if is_extended
            && self.termios.has_local(ECHO)
            && self.termios.is(Control::Reprint, byte)
        {
            self.reprint(byte, echo);
        } else if byte == b'\n' {
            if self.queue.len() - self.committed >= MAX_LINE {
                // The last place of a line is kept for its end, so this cannot
                // happen by typing; a mode change can make such a line.
                self.queue.pop_back();
            }
            if self.termios.has_local(ECHO) || self.termios.has_local(ECHONL) {
                self.filter.send(&self.termios, b"\n", echo);
            }
            self.commit(Queued::LineEnd(byte));
        } else if self.termios.is(Control::EndOfFile, byte) {
            self.commit(Queued::EndOfFile);
        } else if self.termios.is(Control::EndOfLine, byte)
            || is_extended && self.termios.is(Control::EndOfLine2, byte)
        {
            self.echo_typed(byte, echo);
            self.commit(Queued::LineEnd(byte));
        } else {
            self.append(byte, echo);
        }
    }

    fn commit(&mut self, end: Queued) {
        self.queue.push_back(end);
        self.committed_marks += usize::from(end == Queued::EndOfFile);
        self.committed = self.queue.len();
    }

    /// Queues an ordinary byte and echoes it.
    fn append(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let is_canonical = self.termios.has_local(ICANON);
        if is_canonical && self.queue.len() - self.committed >= MAX_LINE - 1 {
            // Refuse audibly: a line that lost its middle is worse than a bell.
            echo.push(0x07);
            return;
        }
        if is_canonical && self.termios.has_local(ECHO) && self.queue.len() == self.committed {
            self.filter.mark_line_start();
        }
        self.queue.push_back(Queued::Byte(byte));
        if !is_canonical {
            self.committed = self.queue.len();
        }
        self.echo_typed(byte, echo);
    }

    /// Echoes `byte` as it shows on a screen: control characters as `^X`.
    fn echo_typed(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if !self.termios.has_local(ECHO) {
            return;
        }
        if byte.is_ascii_control() && byte != b'\t' && self.termios.has_local(ECHOCTL) {
            self.filter.show_control(byte, echo);
        } else {
            self.filter.send(&self.termios, &[byte], echo);
        }
    }

    /// The length in bytes and the first byte of the last character of the line being edited.
    /// `None` if there is none, or only the rest of one: that is not erased.
    fn last_character(&self) -> Option<(usize, u8)> {
        let is_utf8 = self.termios.has_input(IUTF8);
        for (count, queued) in self.queue.range(self.committed..).rev().enumerate() {
            let byte = match *queued {
                Queued::Byte(byte) | Queued::LineEnd(byte) => byte,
                Queued::EndOfFile => return None,
            };
            if !is_utf8 || byte & 0xc0 != 0x80 {
                return Some((count + 1, byte));
            }
        }
        None
    }

    fn erase(&mut self, what: Erase, typed: u8, echo: &mut Vec<u8>) {
        if self.queue.len() == self.committed {
            return;
        }
        let echoes = self.termios.has_local(ECHO);
        if what == Erase::Line && !(echoes && self.termios.has_local(ECHOK | ECHOKE | ECHOE)) {
            self.queue.truncate(self.committed);
            self.echo_killed(typed, echo);
            return;
        }
        let mut seen_word = false;
        while let Some((len, byte)) = self.last_character() {
            if what == Erase::Word {
                let is_word = is_word(byte);
                if !is_word && seen_word {
                    break;
                }
                seen_word |= is_word;
            }
            self.queue.truncate(self.queue.len() - len);
            if echoes && what == Erase::Character && !self.termios.has_local(ECHOE) {
                self.echo_typed(typed, echo);
            } else if echoes {
                self.rub_out(byte, echo);
            }
            if what == Erase::Character {
                break;
            }
        }
    }

    /// Shows that a line was killed whose text stays on the screen.
    fn echo_killed(&mut self, typed: u8, echo: &mut Vec<u8>) {
        if self.termios.has_local(ECHO) {
            self.echo_typed(typed, echo);
            if self.termios.has_local(ECHOK) {
                self.filter.send(&self.termios, b"\n", echo);
            }
        }
    }

    fn reprint(&mut self, byte: u8, echo: &mut Vec<u8>) {
        self.echo_typed(byte, echo);
        self.filter.send(&self.termios, b"\n", echo);
        self.filter.mark_line_start();
        let line: Vec<u8> = self
            .queue
            .range(self.committed..)
            .filter_map(|queued| match *queued {
                Queued::Byte(byte) | Queued::LineEnd(byte) => Some(byte),
                Queued::EndOfFile => None,
            })
            .collect();
        for byte in line {
            self.echo_typed(byte, echo);
        }
    }

    /// Takes the echo of a character that has just been erased from the screen.
    fn rub_out(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let width = match byte {
            b'\t' => return self.back_over_tab(echo),
            byte if !byte.is_ascii_control() => 1,
            _ if self.termios.has_local(ECHOCTL) => 2,
            _ => 0,
        };
        for _ in 0..width {
            self.filter.send(&self.termios, b"\x08 \x08", echo);
        }
    }

    /// Goes back to where the cursor was before a tab that was behind the rest of the line.
    fn back_over_tab(&mut self, echo: &mut Vec<u8>) {
        let mut columns = 0;
        let mut is_after_tab = false;
        for queued in self.queue.range(self.committed..).rev() {
            let Queued::Byte(byte) = *queued else { break };
            match byte {
                b'\t' => {
                    is_after_tab = true;
                    break;
                }
                byte if byte.is_ascii_control() => {
                    columns += 2 * usize::from(self.termios.has_local(ECHOCTL))
                }
                // Bytes after the first of a UTF-8 character take no column.
                byte if self.termios.has_input(IUTF8) && byte & 0xc0 == 0x80 => {}
                _ => columns += 1,
            }
        }
        if !is_after_tab {
            columns += self.filter.line_start();
        }
        for _ in 0..8 - columns % 8 {
            self.filter.back(echo);
        }
    }

    /// Sends a program's output through the output modes to `out`.
    pub fn send(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.filter.send(&self.termios, bytes, out);
    }

    /// How many bytes a read could return now (`FIONREAD`).
    pub fn available(&self) -> usize {
        self.committed - self.committed_marks
    }

    /// A read would return at once: a line, an end of file, or bytes.
    /// `minimum` is `VMIN` where a read waits for it, 1 for poll(2).
    pub fn is_readable(&self, minimum: usize) -> bool {
        if self.termios.has_local(ICANON) {
            self.committed > 0
        } else {
            self.available() >= minimum.max(1)
        }
    }

    /// Moves what a reader may have now into `buffer`, at most one line in
    /// canonical mode. Zero bytes are an end of file where `is_readable` said so.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut len = 0;
        while self.committed > 0 {
            let Some(&front) = self.queue.front() else {
                break;
            };
            // An end-of-file mark right behind a full buffer belongs to this
            // read, else the next one would see an end that was not meant.
            if len == buffer.len() && !(front == Queued::EndOfFile && len > 0) {
                break;
            }
            self.queue.pop_front();
            self.committed -= 1;
            self.committed_marks -= usize::from(front == Queued::EndOfFile);
            match front {
                Queued::Byte(byte) => {
                    buffer[len] = byte;
                    len += 1;
                }
                Queued::LineEnd(byte) => {
                    buffer[len] = byte;
                    len += 1;
                    break;
                }
                Queued::EndOfFile => break,
            }
        }
        len
    }
}

impl Default for LineDiscipline {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[path = "line_discipline_tests.rs"]
mod tests;
