use super::super::termios::{OPOST, Termios};
use super::*;

struct Line {
    discipline: LineDiscipline,
    echo: Vec<u8>,
}

impl Line {
    fn new() -> Self {
        Self {
            discipline: LineDiscipline::new(),
            echo: Vec::new(),
        }
    }

    fn with(change: impl FnOnce(&mut Termios)) -> Self {
        let mut line = Self::new();
        line.change(change);
        line
    }

    fn change(&mut self, change: impl FnOnce(&mut Termios)) {
        let mut termios = *self.discipline.termios();
        change(&mut termios);
        self.discipline.set_termios(termios);
    }

    fn type_bytes(&mut self, bytes: &[u8]) -> Vec<Reaction> {
        bytes
            .iter()
            .map(|&byte| self.discipline.receive(byte, &mut self.echo))
            .collect()
    }

    fn read(&mut self, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let len = self.discipline.read(&mut buffer);
        buffer.truncate(len);
        buffer
    }

    fn echoed(&mut self) -> String {
        String::from_utf8(core::mem::take(&mut self.echo)).unwrap()
    }
}

fn raw(termios: &mut Termios) {
    termios.local &= !(ICANON | ECHO | ISIG | IEXTEN);
    termios.input &= !(ICRNL | IXON);
    termios.output &= !OPOST;
}

#[test]
fn a_line_is_readable_when_it_ends_and_not_before() {
    let mut line = Line::new();
    line.type_bytes(b"ab");
    assert!(!line.discipline.is_readable(1));
    assert_eq!(line.discipline.available(), 0);
    line.type_bytes(b"\r");
    assert!(line.discipline.is_readable(1));
    assert_eq!(line.discipline.available(), 3);
    assert_eq!(line.read(80), b"ab\n");
    assert_eq!(line.echoed(), "ab\r\n");
}

#[test]
fn a_read_takes_one_line_and_a_short_read_leaves_the_rest() {
    let mut line = Line::new();
    line.type_bytes(b"one\ntwo\n");
    assert_eq!(line.read(2), b"on");
    assert_eq!(line.read(80), b"e\n");
    assert_eq!(line.read(80), b"two\n");
    assert!(!line.discipline.is_readable(1));
}

#[test]
fn erase_word_erase_and_kill_edit_text_and_screen() {
    let mut line = Line::new();
    line.type_bytes(b"abc\x7f");
    assert_eq!(line.echoed(), "abc\x08 \x08");
    line.type_bytes(b" foo bar\x17");
    assert_eq!(line.echoed(), " foo bar\x08 \x08\x08 \x08\x08 \x08");
    line.type_bytes(b"\n");
    assert_eq!(line.read(80), b"ab foo \n");
    line.echoed();
    line.type_bytes(b"xy\x15z\n");
    assert_eq!(line.read(80), b"z\n");
    assert_eq!(line.echoed(), "xy\x08 \x08\x08 \x08z\r\n");
}

#[test]
fn erase_takes_whole_characters_tabs_and_control_echo() {
    let mut line = Line::new();
    line.type_bytes("é".as_bytes());
    line.type_bytes(b"\x7f");
    assert_eq!(line.echoed(), "é\x08 \x08");
    line.type_bytes(b"a\t\x7f");
    assert_eq!(line.echoed(), format!("a\t{}", "\x08".repeat(7)));
    line.type_bytes(b"\x16\x01\x7f");
    assert_eq!(line.echoed(), "^\x08^A\x08 \x08\x08 \x08");
    line.type_bytes(b"\n");
    assert_eq!(line.read(80), b"a\n");
}

#[test]
fn erase_stops_at_the_start_of_the_line() {
    let mut line = Line::new();
    line.type_bytes(b"one\n\x7f\x17\x15\x7f");
    assert_eq!(line.read(80), b"one\n");
    assert_eq!(line.echoed(), "one\r\n");
}

#[test]
fn end_of_file_ends_a_read_without_a_newline() {
    let mut line = Line::new();
    line.type_bytes(b"\x04");
    assert!(line.discipline.is_readable(1));
    assert_eq!(line.read(80), b"");
    assert!(!line.discipline.is_readable(1));
    line.type_bytes(b"abc\x04");
    assert_eq!(line.read(3), b"abc");
    assert!(
        !line.discipline.is_readable(1),
        "the mark went with the bytes before it"
    );
}

#[test]
fn interrupt_flushes_and_signals() {
    let mut line = Line::new();
    let reactions = line.type_bytes(b"abc\x03");
    assert_eq!(reactions[3].signal, Some(TtySignal::Interrupt));
    assert_eq!(line.echoed(), "abc^C");
    line.type_bytes(b"d\n");
    assert_eq!(line.read(80), b"d\n");
    assert_eq!(line.type_bytes(b"\x1c")[0].signal, Some(TtySignal::Quit));
    assert_eq!(line.type_bytes(b"\x1a")[0].signal, Some(TtySignal::Suspend));
}

#[test]
fn noflsh_keeps_what_was_typed() {
    let mut line = Line::with(|termios| termios.local |= NOFLSH);
    line.type_bytes(b"abc\x03\n");
    assert_eq!(line.read(80), b"abc\n");
}

#[test]
fn a_disabled_character_has_no_meaning() {
    let mut line = Line::with(|termios| {
        raw(termios);
        termios.local |= ISIG;
    });
    assert_eq!(line.type_bytes(b"\0")[0].signal, None);
    assert_eq!(line.read(80), b"\0");
}

#[test]
fn raw_mode_passes_every_byte_and_echoes_none() {
    let mut line = Line::with(raw);
    let all: Vec<u8> = (0..=255).collect();
    let reactions = line.type_bytes(&all);
    assert!(
        reactions
            .iter()
            .all(|reaction| *reaction == Reaction::default())
    );
    assert!(line.discipline.is_readable(256));
    assert!(!line.discipline.is_readable(257));
    assert_eq!(line.read(512), all);
    assert_eq!(line.echoed(), "");
}

#[test]
fn mode_changes_keep_what_was_typed() {
    let mut line = Line::new();
    line.type_bytes(b"type-ahead");
    line.change(raw);
    assert_eq!(line.read(4), b"type");
    line.change(|termios| *termios = Termios::console());
    assert!(line.discipline.is_readable(1));
    line.type_bytes(b"\x7f\x7fmore\n");
    assert_eq!(line.read(80), b"-ahead");
    assert_eq!(line.read(80), b"more\n");
}

#[test]
fn an_over_long_line_rings_and_keeps_its_end_and_its_interrupt() {
    let mut line = Line::new();
    line.type_bytes(&vec![b'x'; MAX_LINE + 10]);
    assert!(!line.discipline.is_full());
    assert_eq!(line.echo.iter().filter(|&&byte| byte == 7).count(), 11);
    line.type_bytes(b"\n");
    assert_eq!(line.read(2 * MAX_LINE).len(), MAX_LINE);
    line.type_bytes(&vec![b'x'; MAX_LINE + 10]);
    assert_eq!(
        line.type_bytes(b"\x03")[0].signal,
        Some(TtySignal::Interrupt)
    );
}

#[test]
fn a_large_paste_is_kept_whole() {
    let mut line = Line::new();
    let paste: Vec<u8> = (0..1000)
        .flat_map(|n| format!("line {n} of many\n").into_bytes())
        .collect();
    line.type_bytes(&paste);
    let mut got = Vec::new();
    while line.discipline.is_readable(1) {
        got.extend(line.read(4096));
    }
    assert_eq!(got, paste);
}

#[test]
fn a_full_queue_asks_for_a_pause() {
    let mut line = Line::with(raw);
    line.type_bytes(&vec![b'x'; MAX_QUEUED]);
    assert!(line.discipline.is_full());
    line.read(1);
    assert!(!line.discipline.is_full());
}

#[test]
fn stop_and_start_hold_output_back() {
    let mut line = Line::new();
    line.type_bytes(b"\x13");
    assert!(line.discipline.is_stopped());
    assert!(line.type_bytes(b"\x11")[0].output_resumed);
    assert!(!line.discipline.is_stopped());
    line.type_bytes(b"\x13");
    line.change(|termios| termios.input |= IXANY);
    assert!(line.type_bytes(b"a")[0].output_resumed);
    line.type_bytes(b"\x13");
    let reaction = line.type_bytes(b"\x03")[0];
    assert!(reaction.output_resumed && reaction.signal.is_some());
}

#[test]
fn echonl_shows_only_newlines_when_echo_is_off() {
    let mut line = Line::with(|termios| {
        termios.local &= !ECHO;
        termios.local |= ECHONL;
    });
    line.type_bytes(b"secret\r");
    assert_eq!(line.echoed(), "\r\n");
    assert_eq!(line.read(80), b"secret\n");
}

#[test]
fn carriage_return_modes() {
    let mut line = Line::with(|termios| termios.input |= IGNCR);
    line.type_bytes(b"a\rb\n");
    assert_eq!(line.read(80), b"ab\n");
    let mut line = Line::with(|termios| {
        termios.input &= !ICRNL;
        termios.input |= INLCR;
    });
    line.type_bytes(b"a\nb\x04");
    assert_eq!(line.read(80), b"a\rb");
}

#[test]
fn reprint_shows_the_line_again() {
    let mut line = Line::new();
    line.type_bytes(b"ab\x12");
    assert_eq!(line.echoed(), "ab^R\r\nab");
}

#[test]
fn output_modes() {
    let mut line = Line::new();
    let mut out = Vec::new();
    line.discipline.send(b"a\nb", &mut out);
    assert_eq!(out, b"a\r\nb");
    line.change(|termios| termios.output |= super::super::termios::XTABS);
    out.clear();
    line.discipline.send(b"\rab\tc", &mut out);
    assert_eq!(out, b"\rab      c");
    line.change(|termios| termios.output &= !OPOST);
    out.clear();
    line.discipline.send(b"\n\t", &mut out);
    assert_eq!(out, b"\n\t");
}

proptest::proptest! {
    #[test]
    fn readable_never_lies(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let mut line = Line::new();
        line.type_bytes(&bytes);
        while line.discipline.is_readable(1) {
            let expected = line.discipline.available();
            let got = line.read(4096).len();
            proptest::prop_assert!(got <= expected);
        }
        proptest::prop_assert_eq!(line.discipline.available(), 0);
    }
}
