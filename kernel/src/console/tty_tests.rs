use std::collections::VecDeque;
use std::sync::Mutex as HostMutex;
use std::sync::OnceLock;
use std::time::Duration;

use super::super::termios::{Control, ECHO, ISIG};
use super::*;
use crate::fs::io::KernelSink;
use crate::process::ThreadData;

/// A wire per test: functions cannot capture, so each test names its own.
macro_rules! wire {
    () => {{
        static INPUT: HostMutex<VecDeque<u8>> = HostMutex::new(VecDeque::new());
        static OUTPUT: HostMutex<Vec<u8>> = HostMutex::new(Vec::new());
        struct TestWire;
        impl Wire for TestWire {
            fn receive(&self) -> Option<u8> {
                INPUT.lock().unwrap().pop_front()
            }
            fn send(&self, bytes: &[u8]) {
                OUTPUT.lock().unwrap().extend_from_slice(bytes);
            }
            fn signal(&self, _: TtySignal) {}
            fn resized(&self) {}
        }
        static TTY: OnceLock<Arc<Tty>> = OnceLock::new();
        smp::fake::set_extension_maker(|| {
            Box::new(ThreadData::new(
                crate::libc::signal::SignalSet::EMPTY,
                crate::fs::context::initial(),
            ))
        });
        let tty = TTY.get_or_init(|| Tty::new(Box::new(TestWire), WindowSize::of_text(80, 24)));
        tty.start("test").unwrap();
        let type_bytes = |bytes: &[u8]| {
            INPUT.lock().unwrap().extend(bytes);
            tty.pump();
        };
        (tty, type_bytes, &OUTPUT)
    }};
}

fn read(tty: &Tty, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let count = tty
        .read(&mut KernelSink::new(&mut buffer), OpenFlags::empty())
        .unwrap();
    buffer.truncate(count);
    buffer
}

fn raw(tty: &Tty, minimum: u8, time: u8) {
    let mut termios = tty.termios();
    termios.local &= !(ICANON | ECHO | ISIG);
    termios.input = 0;
    termios.chars[Control::Minimum as usize] = minimum;
    termios.chars[Control::Time as usize] = time;
    tty.set_termios(termios, false);
}

#[test]
fn a_reader_sleeps_until_the_line_ends() {
    let (tty, type_bytes, output) = wire!();
    let reader = std::thread::spawn(|| read(tty, 80));
    std::thread::sleep(Duration::from_millis(10));
    type_bytes(b"hel");
    std::thread::sleep(Duration::from_millis(10));
    assert!(!reader.is_finished());
    type_bytes(b"lo\r");
    assert_eq!(reader.join().unwrap(), b"hello\n");
    assert_eq!(*output.lock().unwrap(), b"hello\r\n");
}

#[test]
fn minimum_and_time() {
    let (tty, type_bytes, _) = wire!();
    raw(tty, 0, 0);
    assert_eq!(read(tty, 10), b"");
    raw(tty, 0, 1);
    assert_eq!(read(tty, 10), b"", "after a tenth of a second");
    raw(tty, 3, 0);
    let reader = std::thread::spawn(|| read(tty, 10));
    type_bytes(b"ab");
    std::thread::sleep(Duration::from_millis(30));
    assert!(!reader.is_finished());
    type_bytes(b"c");
    assert_eq!(reader.join().unwrap(), b"abc");
    raw(tty, 5, 1);
    let reader = std::thread::spawn(|| read(tty, 10));
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        !reader.is_finished(),
        "the time-out begins with the first byte"
    );
    type_bytes(b"x");
    assert_eq!(reader.join().unwrap(), b"x");
    raw(tty, 5, 0);
    let reader = std::thread::spawn(|| read(tty, 2));
    type_bytes(b"yz");
    assert_eq!(reader.join().unwrap(), b"yz", "no more than asked for");
}

#[test]
fn a_flood_waits_in_the_device_and_none_is_lost() {
    let (tty, type_bytes, _) = wire!();
    raw(tty, 1, 0);
    let flood: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    type_bytes(&flood);
    let mut got = Vec::new();
    while got.len() < flood.len() {
        got.extend(read(tty, 4096));
    }
    assert!(got == flood);
}

#[test]
fn nonblocking_reads_and_stopped_writes() {
    let (tty, type_bytes, output) = wire!();
    let mut buffer = [0; 8];
    let nonblocking = OpenFlags::NONBLOCK;
    assert_eq!(
        tty.read(&mut KernelSink::new(&mut buffer), nonblocking),
        Err(Errno::EAGAIN)
    );
    type_bytes(b"\x13");
    while tty.poll().contains(PollEvents::OUT) {
        std::thread::yield_now();
    }
    assert_eq!(tty.write(&mut &b"no"[..], nonblocking), Err(Errno::EAGAIN));
    let writer = std::thread::spawn(|| tty.write(&mut &b"yes\n"[..], OpenFlags::empty()));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!writer.is_finished());
    type_bytes(b"\x11");
    assert_eq!(writer.join().unwrap(), Ok(4));
    assert_eq!(*output.lock().unwrap(), b"yes\r\n");
}
