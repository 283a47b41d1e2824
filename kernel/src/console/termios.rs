//! The terminal settings a program may change; see termios(3).
//!
//! The layout is the one that `ioctl(TCGETS)` has on Linux (36 bytes), which
//! musl's `tcgetattr` reads into the front of its own longer structure.

use linux_raw_sys::general as uapi;

pub use linux_raw_sys::general::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP,
    IUCLC, IUTF8, IXANY, IXON, NOFLSH, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, XTABS,
};

/// A control character's place in `c_cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Control {
    Interrupt = uapi::VINTR as usize,
    Quit = uapi::VQUIT as usize,
    Erase = uapi::VERASE as usize,
    Kill = uapi::VKILL as usize,
    EndOfFile = uapi::VEOF as usize,
    Time = uapi::VTIME as usize,
    Minimum = uapi::VMIN as usize,
    Start = uapi::VSTART as usize,
    Stop = uapi::VSTOP as usize,
    Suspend = uapi::VSUSP as usize,
    EndOfLine = uapi::VEOL as usize,
    Reprint = uapi::VREPRINT as usize,
    WordErase = uapi::VWERASE as usize,
    LiteralNext = uapi::VLNEXT as usize,
    EndOfLine2 = uapi::VEOL2 as usize,
}

/// The value of a control character that is switched off (`_POSIX_VDISABLE`).
pub const DISABLED: u8 = 0;

/// Settings of one terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Termios {
    pub input: u32,
    pub output: u32,
    pub control: u32,
    pub local: u32,
    pub line: u8,
    pub chars: [u8; uapi::NCCS as usize],
}

impl Termios {
    /// The size of the structure that `TCGETS` copies out.
    pub const SIZE: usize = size_of::<Self>();

    /// Settings of a console that nobody has configured: those of a Linux
    /// console, plus `IUTF8`, because what is typed here is UTF-8.
    pub const fn console() -> Self {
        let mut chars = [DISABLED; uapi::NCCS as usize];
        chars[Control::Interrupt as usize] = 0x03;
        chars[Control::Quit as usize] = 0x1c;
        chars[Control::Erase as usize] = 0x7f;
        chars[Control::Kill as usize] = 0x15;
        chars[Control::EndOfFile as usize] = 0x04;
        chars[Control::Minimum as usize] = 1;
        chars[Control::Start as usize] = 0x11;
        chars[Control::Stop as usize] = 0x13;
        chars[Control::Suspend as usize] = 0x1a;
        chars[Control::Reprint as usize] = 0x12;
        chars[uapi::VDISCARD as usize] = 0x0f;
        chars[Control::WordErase as usize] = 0x17;
        chars[Control::LiteralNext as usize] = 0x16;
        Self {
            input: ICRNL | IXON | IUTF8,
            output: OPOST | ONLCR,
            control: uapi::B115200 | uapi::CS8 | uapi::CREAD | uapi::HUPCL | uapi::CLOCAL,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            line: 0,
            chars,
        }
    }

    /// The byte that acts as `control`, or `None` when it is switched off.
    pub fn control_char(&self, control: Control) -> Option<u8> {
        Some(self.chars[control as usize]).filter(|&byte| byte != DISABLED)
    }

    /// `byte` is the character that acts as `control`.
    pub fn is(&self, control: Control, byte: u8) -> bool {
        self.control_char(control) == Some(byte)
    }

    /// All of `flags` are set among the local modes.
    pub fn has_local(&self, flags: u32) -> bool {
        self.local & flags == flags
    }

    /// All of `flags` are set among the input modes.
    pub fn has_input(&self, flags: u32) -> bool {
        self.input & flags == flags
    }

    /// All of `flags` are set among the output modes.
    pub fn has_output(&self, flags: u32) -> bool {
        self.output & flags == flags
    }

    /// `VMIN`: how many bytes a read that is not by lines waits for.
    pub fn minimum(&self) -> usize {
        usize::from(self.chars[Control::Minimum as usize])
    }

    /// `VTIME`: a time-out in tenths of a second, in nanoseconds.
    pub fn time_ns(&self) -> u64 {
        u64::from(self.chars[Control::Time as usize]) * 100_000_000
    }

    /// The settings as `TCGETS` lays them out.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (slot, word) in [self.input, self.output, self.control, self.local]
            .iter()
            .enumerate()
        {
            bytes[slot * 4..slot * 4 + 4].copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16] = self.line;
        bytes[17..17 + self.chars.len()].copy_from_slice(&self.chars);
        bytes
    }

    /// The settings that `TCSETS` got as `bytes`.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |slot: usize| {
            let at = slot * 4;
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut chars = [DISABLED; uapi::NCCS as usize];
        chars.copy_from_slice(&bytes[17..17 + uapi::NCCS as usize]);
        Self {
            input: word(0),
            output: word(1),
            control: word(2),
            local: word(3),
            line: bytes[16],
            chars,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_size_and_layout_of_linux() {
        assert_eq!(Termios::SIZE, size_of::<uapi::termios>());
        let bytes = Termios::console().to_bytes();
        assert_eq!(Termios::from_bytes(&bytes), Termios::console());
        assert_eq!(bytes[17 + uapi::VINTR as usize], 3);
    }
}
