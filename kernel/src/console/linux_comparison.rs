//! The line discipline against the host's own: the same bytes typed into a pseudo-terminal of Linux,
//! the same echo, the same lines read.
//!
//! Run with `make compare`, on Linux; `CASES` says how
//! many. Ignored otherwise: a host need not have pseudo-terminals, and Linux answers slowly,
//! from a worker thread.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use linux_raw_sys::{general as raw, ioctl};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::line_discipline::LineDiscipline;
use super::termios::*;

unsafe extern "C" {
    fn ioctl(fd: i32, request: u64, argument: *mut u8) -> i32;
}

/// How often in a row Linux is found to have nothing before that counts: it passes bytes on
/// from a thread, which a busy host lets wait.
const PATIENCE: usize = 300;

#[derive(Clone, Debug)]
enum Step {
    Type(Vec<u8>),
    Print(Vec<u8>),
    Modes { input: u32, output: u32, local: u32 },
    Read(usize),
}

const BYTES: &[u8] =
    b"ab z_9\t\r\n\x7f\x7f\x15\x17\x16\x12\x04\x03\x1c\x1a\x01\x1b\x08\xc3\xa9\xe4\xbd\xa0\0\xfe";

/// The characters of ISIG.
const SIGNALS: &[u8] = b"\x03\x1c\x1a";

fn flags(all: &'static [u32]) -> impl Strategy<Value = u32> {
    proptest::collection::vec(proptest::sample::select(all), 0..all.len())
        .prop_map(|flags| flags.into_iter().fold(0, |all, flag| all | flag))
}

// Not among the flags: IUCLC and OLCUC, which in Linux change Latin-1 letters and so spoil UTF-8.
fn step() -> impl Strategy<Value = Step> {
    let text = || proptest::collection::vec(proptest::sample::select(BYTES), 1..12);
    prop_oneof![
        8 => text().prop_map(Step::Type),
        2 => text().prop_map(Step::Print),
        2 => (
            flags(&[ICRNL, IGNCR, INLCR, ISTRIP, IUTF8]),
            flags(&[OPOST, ONLCR, OCRNL, ONOCR, ONLRET, XTABS]),
            flags(&[ICANON, ICANON, ECHO, ECHO, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOCTL, ISIG, IEXTEN, IEXTEN, NOFLSH]),
        )
            .prop_map(|(input, output, local)| Step::Modes { input, output, local }),
        4 => (1usize..20).prop_map(Step::Read),
    ]
}

/// Linux's side.
struct Host {
    master: File,
    slave: File,
}

impl Host {
    fn new() -> Self {
        let open = |path: &str| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags((raw::O_NOCTTY | raw::O_NONBLOCK) as i32)
                .open(path)
                .unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let master = open("/dev/ptmx");
        let mut number = [0u8; 4];
        Self::request(&master, 0x4004_5431, &mut [0; 4]);
        Self::request(&master, 0x8004_5430, &mut number);
        let slave = open(&format!("/dev/pts/{}", u32::from_ne_bytes(number)));
        Self { master, slave }
    }

    fn request(file: &File, request: u32, argument: &mut [u8]) {
        // SAFETY: the buffer is as large as each of these requests needs.
        let result = unsafe { ioctl(file.as_raw_fd(), request.into(), argument.as_mut_ptr()) };
        assert_eq!(result, 0, "ioctl {request:#x}");
    }

    fn set_termios(&self, termios: Termios) {
        Self::request(&self.slave, ioctl::TCSETS, &mut termios.to_bytes());
    }

    /// What has come out since the last time.
    fn output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        let mut silent = 0;
        while silent < PATIENCE {
            let mut buffer = [0; 4096];
            match self.master.read(&mut buffer) {
                Ok(count) => {
                    output.extend_from_slice(&buffer[..count]);
                    silent = 0;
                }
                Err(_) => {
                    std::thread::sleep(Duration::from_micros(300));
                    silent += 1;
                }
            }
        }
        output
    }

    /// `None`: a read would wait.
    fn read(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; len];
        let count = self.slave.read(&mut buffer).ok()?;
        buffer.truncate(count);
        Some(buffer)
    }
}

fn read_ours(line: &mut LineDiscipline, len: usize) -> Option<Vec<u8>> {
    if !line.is_readable(line.termios().minimum().min(len)) {
        return None;
    }
    let mut buffer = vec![0; len];
    let count = line.read(&mut buffer);
    buffer.truncate(count);
    Some(buffer)
}

fn compare(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut host = Host::new();
    let mut ours = LineDiscipline::new();
    host.set_termios(*ours.termios());
    for (done, step) in steps.iter().enumerate() {
        let (mut output, mut theirs) = (Vec::new(), Vec::new());
        match step {
            Step::Type(bytes) => {
                for &byte in bytes {
                    // A signal throws away echo that nobody has read yet, which is a race of Linux's.
                    if SIGNALS.contains(&byte) {
                        theirs.extend(host.output());
                    }
                    host.master
                        .write_all(&[byte])
                        .expect("room for a few bytes");
                    ours.receive(byte, &mut output);
                }
            }
            Step::Print(bytes) => {
                host.slave.write_all(bytes).expect("room for a few bytes");
                ours.send(bytes, &mut output);
            }
            Step::Modes {
                input,
                output,
                local,
            } => {
                let mut termios = Termios::console();
                (termios.input, termios.output, termios.local) = (*input, *output, *local);
                host.set_termios(termios);
                ours.set_termios(termios);
            }
            Step::Read(len) => {
                let (host, mine) = (host.read(*len), read_ours(&mut ours, *len));
                prop_assert_eq!(&mine, &host, "read after {:?}", &steps[..=done]);
            }
        }
        theirs.extend(host.output());
        prop_assert_eq!(
            String::from_utf8_lossy(&output),
            String::from_utf8_lossy(&theirs),
            "output of the last of {:?}",
            &steps[..=done]
        );
    }
    Ok(())
}

#[test]
#[ignore = "needs pseudo-terminals of a Linux host"]
fn agrees_with_linux_about_random_input() {
    let cases = std::env::var("CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(100);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&proptest::collection::vec(step(), 1..15), |steps| {
        compare(&steps)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
