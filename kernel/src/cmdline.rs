//! The kernel command line: `key=value` words, then ` -- ` and Python's arguments.
//!
//! ```text
//! panic=exit trace=syscalls env.PYTHONHASHSEED=0 -- -X dev -c 'print("hello world")'
//! ```
//!
//! Words are split as a POSIX shell does it (POSIX.1-2024, XCU 2.2 and 2.6.5,
//! without expansions): blanks separate, `'…'` is literal, `"…"` keeps blanks, a
//! backslash quotes the next character. docs/boot.md lists the keys.

use alloc::string::String;
use alloc::vec::Vec;
use spin::Once;

/// What ends a panic or an unhandled fault (`panic=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicAction {
    /// Stop where we are, so that the report can be read.
    #[default]
    Halt,
    /// Start the machine again.
    Reboot,
    /// Leave QEMU with a non-zero exit code.
    Exit,
}

impl PanicAction {
    fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"halt" => Some(Self::Halt),
            b"reboot" => Some(Self::Reboot),
            b"exit" => Some(Self::Exit),
            _ => None,
        }
    }
}

/// Reads `panic=` without a heap, for faults that come before there is one. The
/// last valid one counts.
pub fn find_panic_action(line: &[u8]) -> PanicAction {
    let mut action = PanicAction::default();
    for word in line.split(|byte| matches!(byte, b' ' | b'\t')) {
        if word == b"--" {
            break;
        }
        if let Some(found) = word
            .strip_prefix(b"panic=")
            .and_then(PanicAction::from_word)
        {
            action = found;
        }
    }
    action
}

/// Keys of words that other modules interpret; [`Options::get`] gives them the values.
const OTHER_KEYS: &[&str] = &["console.size", "repl.listen", "repl.token"];

/// The command line, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub panic: PanicAction,
    /// `trace=syscalls`: log every C call that enters the kernel.
    pub trace_syscalls: bool,
    /// `env.NAME=VALUE`: what to add to Python's environment, in order.
    pub environment: Vec<(String, String)>,
    /// Words whose key is in [`OTHER_KEYS`], in order.
    others: Vec<(String, String)>,
    /// Words whose key or value is not known: the log names them.
    pub unknown: Vec<String>,
    /// What follows `--`: Python's arguments. `None` without a `--`.
    pub arguments: Option<Vec<String>>,
    /// Whether a quote was still open at the end of the line.
    pub is_unterminated: bool,
}

impl Options {
    /// Returns the last value of a key that this module does not interpret.
    ///
    /// # Panics
    ///
    /// If `key` is not in [`OTHER_KEYS`]: the log would call a word with it unknown.
    pub fn get(&self, key: &str) -> Option<&str> {
        assert!(OTHER_KEYS.contains(&key), "{key} is not in OTHER_KEYS");
        self.others
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }
}

/// Understands a command line.
pub fn parse(line: &str) -> Options {
    let mut options = Options::default();
    let (words, is_unterminated) = split_words(line);
    options.is_unterminated = is_unterminated;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            options.arguments = Some(words.collect());
            break;
        }
        match word.split_once('=') {
            Some(("panic", action)) => match PanicAction::from_word(action.as_bytes()) {
                Some(action) => options.panic = action,
                None => options.unknown.push(word),
            },
            Some(("trace", "syscalls")) => options.trace_syscalls = true,
            Some(("trace", _)) => options.unknown.push(word),
            Some((key, value)) => match key.strip_prefix("env.") {
                Some("") => options.unknown.push(word),
                Some(name) => options.environment.push((name.into(), value.into())),
                None if OTHER_KEYS.contains(&key) => {
                    options.others.push((key.into(), value.into()));
                }
                None => options.unknown.push(word),
            },
            None => options.unknown.push(word),
        }
    }
    options
}

/// Splits a line into words and tells whether a quote was left open.
pub fn split_words(line: &str) -> (Vec<String>, bool) {
    let mut words = Vec::new();
    // `Some` while inside a word, which may be empty: `''` is a word.
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => {
                            words.push(core::mem::take(word));
                            return (words, true);
                        }
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        // Inside double quotes a backslash quotes only what
                        // would have a meaning there, and the single quote: GRUB
                        // writes a word with blanks in it as "…\'…".
                        Some('\\') => match characters.next() {
                            Some(c @ ('"' | '\'' | '\\' | '$' | '`')) => word.push(c),
                            Some('\n') => {}
                            Some(c) => {
                                word.push('\\');
                                word.push(c);
                            }
                            None => word.push('\\'),
                        },
                        Some(c) => word.push(c),
                        None => {
                            words.push(core::mem::take(word));
                            return (words, true);
                        }
                    }
                }
            }
            '\\' => match characters.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => word.get_or_insert_default().push('\\'),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (words, false)
}

static LINE: Once<String> = Once::new();
static OPTIONS: Once<Options> = Once::new();

/// Understands the boot loader's command line, once, and returns it.
pub fn init(line: &[u8]) -> &'static Options {
    let line = LINE.call_once(|| String::from_utf8_lossy(line).into_owned());
    OPTIONS.call_once(|| parse(line))
}

/// Returns the command line as it was given, for /proc/cmdline; empty before `init`.
pub fn line() -> &'static str {
    LINE.get().map_or("", String::as_str)
}

/// Returns the options of this boot; the defaults before `init`.
pub fn options() -> &'static Options {
    OPTIONS.call_once(Options::default)
}

#[cfg(test)]
mod tests {
    use super::{PanicAction, find_panic_action, parse, split_words};

    fn words(line: &str) -> Vec<String> {
        let (words, is_unterminated) = split_words(line);
        assert!(!is_unterminated, "{line}");
        words
    }

    #[test]
    fn splits_as_a_posix_shell() {
        assert_eq!(words("  a  b\tc "), ["a", "b", "c"]);
        assert_eq!(words(r#"'a b' "c d" e\ f"#), ["a b", "c d", "e f"]);
        assert_eq!(words(r#"a'b'"c"d"#), ["abcd"]);
        assert_eq!(words(r#"'' """#), ["", ""]);
        assert_eq!(words(r#""a\"b\n" '\'"#), [r#"a"b\n"#, r"\"]);
        assert_eq!(words(r#""print(\'a b\')""#), ["print('a b')"]);
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn says_that_a_quote_is_open() {
        assert_eq!(
            split_words("a 'b c"),
            (vec!["a".into(), "b c".into()], true)
        );
        assert_eq!(split_words("\"b c"), (vec!["b c".into()], true));
    }

    #[test]
    fn options_end_at_the_double_dash() {
        let options =
            parse("panic=exit env.A=b=c console.size=80x25 x -- -c 'print(1 + 1)' panic=halt");
        assert_eq!(options.panic, PanicAction::Exit);
        assert_eq!(options.environment, [("A".into(), "b=c".into())]);
        assert_eq!(options.get("console.size"), Some("80x25"));
        assert_eq!(options.unknown, ["x"]);
        let arguments = options.arguments.expect("there is a double dash");
        assert_eq!(arguments, ["-c", "print(1 + 1)", "panic=halt"]);
    }

    #[test]
    fn nothing_after_the_double_dash_is_no_arguments() {
        assert_eq!(parse("--").arguments, Some(Vec::new()));
        assert_eq!(parse("").arguments, None);
    }

    #[test]
    fn unknown_words_are_named_not_guessed() {
        let options = parse("panic=now trace=all env.=1 apic=xapic quiet");
        assert_eq!(options.panic, PanicAction::Halt);
        assert_eq!(
            options.unknown,
            ["panic=now", "trace=all", "env.=1", "apic=xapic", "quiet"]
        );
    }

    #[test]
    fn the_early_reader_agrees_about_panic() {
        for line in [
            "panic=exit",
            "panic=reboot x",
            "",
            "panic=halt panic=exit",
            "-- panic=exit",
        ] {
            assert_eq!(
                find_panic_action(line.as_bytes()),
                parse(line).panic,
                "{line}"
            );
        }
    }
}
