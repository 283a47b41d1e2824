//! Pipes, local sockets, event counters and files without a name.
//!
//! Nothing waits here (everything is non-blocking), and little is written: how much fits before a
//! writer must wait is every kernel's own affair.

use super::{CLOSED, Side, bits, call, difference, run_cases};
use linux_raw_sys::general as raw;
use linux_raw_sys::{ioctl, net};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Pipe(usize, usize),
    SocketPair(usize, usize, u32),
    Socket(usize, u32),
    EventFd(usize, u32, u32),
    MemFd(usize, u32),
    Close(usize),
    Dup(usize, usize),
    Read(usize, usize),
    Write(usize, usize, u8),
    WriteWord(usize, u64),
    Writev(usize, usize, usize),
    Send(usize, usize, u32),
    Receive(usize, usize, u32),
    SendMessage(usize, usize, usize),
    ReceiveMessage(usize, usize, usize, usize),
    Shutdown(usize, usize),
    Bind(usize, usize),
    Listen(usize, i32),
    Connect(usize, usize),
    Accept(usize, usize),
    Names(usize),
    GetOption(usize, u32),
    SetOption(usize, u32, u32),
    Waiting(usize),
    Fcntl(usize, u32, usize),
    Seek(usize, i64, u32),
    Truncate(usize, i64),
    Status(usize),
    Poll,
    Splice(usize, usize, usize),
    Lock(usize, u32),
    RecordLock(usize, u32, i16, i64, i64),
}

const SLOTS: usize = 6;

const OPTIONS: [u32; 13] = [
    net::SO_TYPE,
    net::SO_ERROR,
    net::SO_DOMAIN,
    net::SO_PROTOCOL,
    net::SO_ACCEPTCONN,
    net::SO_REUSEADDR,
    net::SO_KEEPALIVE,
    net::SO_SNDBUF,
    net::SO_RCVBUF,
    net::SO_RCVLOWAT,
    net::SO_LINGER,
    net::SO_PASSCRED,
    9999,
];

fn step() -> impl Strategy<Value = Step> {
    let slot = || 0..SLOTS;
    let kind = || {
        proptest::sample::select(&[net::SOCK_STREAM, net::SOCK_DGRAM, net::SOCK_SEQPACKET, 77][..])
    };
    let flags = bits(&[net::MSG_PEEK, net::MSG_TRUNC, net::MSG_DONTWAIT]);
    let make = prop_oneof![
        (slot(), slot()).prop_map(|(a, b)| Step::Pipe(a, b)),
        (slot(), slot(), kind()).prop_map(|(a, b, kind)| Step::SocketPair(a, b, kind)),
        (slot(), kind()).prop_map(|(a, kind)| Step::Socket(a, kind)),
        (slot(), 0u32..5, bits(&[raw::EFD_SEMAPHORE, 4]))
            .prop_map(|(a, n, flags)| Step::EventFd(a, n, flags)),
        (slot(), bits(&[raw::MFD_ALLOW_SEALING, raw::MFD_CLOEXEC]))
            .prop_map(|(a, flags)| Step::MemFd(a, flags)),
        slot().prop_map(Step::Close),
        (slot(), slot()).prop_map(|(a, b)| Step::Dup(a, b)),
        (slot(), 0usize..4).prop_map(|(a, name)| Step::Bind(a, name)),
        (slot(), -1i32..3).prop_map(|(a, backlog)| Step::Listen(a, backlog)),
        (slot(), 0usize..4).prop_map(|(a, name)| Step::Connect(a, name)),
        (slot(), slot()).prop_map(|(a, b)| Step::Accept(a, b)),
    ];
    let move_bytes = prop_oneof![
        (slot(), 0usize..1500).prop_map(|(a, len)| Step::Read(a, len)),
        (slot(), 0usize..900, any::<u8>()).prop_map(|(a, len, byte)| Step::Write(a, len, byte)),
        (
            slot(),
            prop_oneof![0u64..3, Just(u64::MAX), Just(u64::MAX - 1)]
        )
            .prop_map(|(a, word)| Step::WriteWord(a, word)),
        (slot(), 9usize..100, 0usize..100)
            .prop_map(|(a, first, second)| Step::Writev(a, first, second)),
        (
            slot(),
            0usize..900,
            bits(&[net::MSG_DONTWAIT, net::MSG_EOR])
        )
            .prop_map(|(a, len, f)| Step::Send(a, len, f)),
        (slot(), 0usize..1500, flags).prop_map(|(a, len, flags)| Step::Receive(a, len, flags)),
        (slot(), 0usize..50, slot()).prop_map(|(a, len, passed)| Step::SendMessage(a, len, passed)),
        (slot(), 0usize..100, 0usize..48, slot())
            .prop_map(|(a, len, room, to)| Step::ReceiveMessage(a, len, room, to)),
        (slot(), slot(), 0usize..2000).prop_map(|(a, b, len)| Step::Splice(a, b, len)),
    ];
    let ask = prop_oneof![
        (slot(), 0usize..4).prop_map(|(a, how)| Step::Shutdown(a, how)),
        slot().prop_map(Step::Names),
        (slot(), proptest::sample::select(&OPTIONS[..]))
            .prop_map(|(a, name)| Step::GetOption(a, name)),
        (slot(), proptest::sample::select(&OPTIONS[..]), 0u32..3)
            .prop_map(|(a, name, to)| Step::SetOption(a, name, to * 5000)),
        slot().prop_map(Step::Waiting),
        (
            slot(),
            proptest::sample::select(
                &[
                    raw::F_GETFL,
                    raw::F_GETFD,
                    raw::F_GETPIPE_SZ,
                    raw::F_SETPIPE_SZ,
                    raw::F_GET_SEALS,
                    raw::F_ADD_SEALS
                ][..],
            ),
            proptest::sample::select(&[0usize, 1, 2, 4, 8, 16, 5000, 65536, 1 << 31][..]),
        )
            .prop_map(|(a, command, to)| Step::Fcntl(a, command, to)),
        (slot(), -10i64..3000, 0u32..5).prop_map(|(a, by, whence)| Step::Seek(a, by, whence)),
        (slot(), -1i64..3000).prop_map(|(a, size)| Step::Truncate(a, size)),
        slot().prop_map(Step::Status),
        Just(Step::Poll),
        (slot(), bits(&[raw::LOCK_EX, raw::LOCK_SH, raw::LOCK_UN]))
            .prop_map(|(a, how)| Step::Lock(a, how)),
        (
            slot(),
            proptest::sample::select(
                &[
                    raw::F_SETLK,
                    raw::F_GETLK,
                    raw::F_OFD_SETLK,
                    raw::F_OFD_GETLK
                ][..]
            ),
            0i16..4,
            -5i64..20,
            -5i64..20,
        )
            .prop_map(|(a, command, kind, start, len)| Step::RecordLock(
                a, command, kind, start, len
            )),
    ];
    prop_oneof![2 => make, 4 => move_bytes, 3 => ask, 1 => Just(Step::Poll)]
}

struct World {
    side: Side,
    slots: [usize; SLOTS],
    number: u32,
}

impl World {
    fn call(&self, number: u32, a: [usize; 6]) -> Result<usize, i32> {
        call(self.side, number, a)
    }

    fn put(&mut self, slot: usize, fd: usize) {
        let _ = self.call(raw::__NR_close, [self.slots[slot], 0, 0, 0, 0, 0]);
        self.slots[slot] = fd;
    }

    fn put_one(&mut self, slot: usize, made: Result<usize, i32>) -> String {
        if let Ok(fd) = made {
            self.put(slot, fd);
        }
        format!("{:?}", made.map(|_| ()))
    }

    fn put_two(&mut self, slots: [usize; 2], made: Result<usize, i32>, fds: [i32; 2]) -> String {
        if made.is_ok() {
            for (slot, fd) in slots.into_iter().zip(fds) {
                self.put(slot, fd as usize);
            }
        }
        format!("{made:?}")
    }

    fn has_type(&self, fd: usize, file_type: u32) -> bool {
        let mut buffer = [0u8; 256];
        let _ = self.call(
            raw::__NR_fstat,
            [fd, buffer.as_mut_ptr().expose_provenance(), 0, 0, 0, 0],
        );
        // SAFETY: the buffer is larger than the struct, and any bytes are valid.
        let stat: raw::stat = unsafe { buffer.as_ptr().cast::<raw::stat>().read_unaligned() };
        stat.st_mode & raw::S_IFMT == file_type
    }

    /// An abstract address, its own for each case and side.
    fn address(&self, name: usize) -> Vec<u8> {
        let text = format!("\0compared-{}-{}-{name}", std::process::id(), self.number);
        [&(net::AF_UNIX as u16).to_ne_bytes()[..], text.as_bytes()].concat()
    }

    fn run(&mut self, step: &Step) -> String {
        let nonblock = raw::O_NONBLOCK as usize;
        let mut buffer = vec![0xaau8; 4096];
        let room = buffer.as_mut_ptr().expose_provenance();
        let mut fds = [0i32; 2];
        let fds_at = fds.as_mut_ptr().expose_provenance();
        let fd = |slot: usize| self.slots[slot];
        match *step {
            Step::Pipe(a, b) => {
                let made = self.call(raw::__NR_pipe2, [fds_at, nonblock, 0, 0, 0, 0]);
                self.put_two([a, b], made, fds)
            }
            Step::SocketPair(a, b, kind) => {
                let kind = kind as usize | nonblock;
                let made = self.call(
                    raw::__NR_socketpair,
                    [net::AF_UNIX as usize, kind, 0, fds_at, 0, 0],
                );
                self.put_two([a, b], made, fds)
            }
            Step::Socket(a, kind) => {
                let made = self.call(
                    raw::__NR_socket,
                    [net::AF_UNIX as usize, kind as usize | nonblock, 0, 0, 0, 0],
                );
                self.put_one(a, made)
            }
            Step::EventFd(a, count, flags) => {
                let flags = flags as usize | raw::EFD_NONBLOCK as usize;
                let made = self.call(raw::__NR_eventfd2, [count as usize, flags, 0, 0, 0, 0]);
                self.put_one(a, made)
            }
            Step::MemFd(a, flags) => {
                let name = c"compared".as_ptr().expose_provenance();
                let made = self.call(raw::__NR_memfd_create, [name, flags as usize, 0, 0, 0, 0]);
                self.put_one(a, made)
            }
            Step::Close(a) => {
                let closed = self.call(raw::__NR_close, [fd(a), 0, 0, 0, 0, 0]);
                self.slots[a] = CLOSED;
                format!("{closed:?}")
            }
            Step::Dup(from, to) => {
                let made = self.call(
                    raw::__NR_fcntl,
                    [fd(from), raw::F_DUPFD as usize, 0, 0, 0, 0],
                );
                self.put_one(to, made)
            }
            Step::Read(a, len) => {
                let done = self.call(raw::__NR_read, [fd(a), room, len, 0, 0, 0]);
                format!("{done:?} {:?}", &buffer[..done.unwrap_or(0)])
            }
            Step::Write(a, len, byte) => {
                buffer.fill(byte);
                format!(
                    "{:?}",
                    self.call(raw::__NR_write, [fd(a), room, len, 0, 0, 0])
                )
            }
            Step::WriteWord(a, word) => {
                buffer[..8].copy_from_slice(&word.to_ne_bytes());
                format!(
                    "{:?}",
                    self.call(raw::__NR_write, [fd(a), room, 8, 0, 0, 0])
                )
            }
            Step::Writev(a, first, second) => {
                let pieces = [[room, first], [room + 100, second]];
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_writev,
                        [fd(a), pieces.as_ptr().expose_provenance(), 2, 0, 0, 0]
                    )
                )
            }
            Step::Send(a, len, flags) => {
                let flags = (flags | net::MSG_NOSIGNAL) as usize;
                format!(
                    "{:?}",
                    self.call(raw::__NR_sendto, [fd(a), room, len, flags, 0, 0])
                )
            }
            Step::Receive(a, len, flags) => {
                let done = self.call(raw::__NR_recvfrom, [fd(a), room, len, flags as usize, 0, 0]);
                format!("{done:?} {:?}", &buffer[..done.unwrap_or(0).min(len)])
            }
            // Which of two errors is told first is of no interest.
            Step::SendMessage(_, _, passed) if fd(passed) == CLOSED => String::new(),
            // A socket that is open only inside its own inbox is found by Linux's garbage collector
            // at some time, and never by us.
            Step::SendMessage(_, _, passed) if self.has_type(fd(passed), raw::S_IFSOCK) => {
                String::new()
            }
            Step::SendMessage(a, len, passed) => {
                let mut control = [0u8; 24];
                control[..8].copy_from_slice(&20usize.to_ne_bytes());
                control[8..12].copy_from_slice(&net::SOL_SOCKET.to_ne_bytes());
                control[12..16].copy_from_slice(&1u32.to_ne_bytes());
                control[16..20].copy_from_slice(&(fd(passed) as i32).to_ne_bytes());
                let piece = [room, len];
                let header = [
                    0,
                    0,
                    piece.as_ptr().expose_provenance(),
                    1,
                    control.as_ptr().expose_provenance(),
                    24,
                    0,
                ];
                let flags = net::MSG_NOSIGNAL as usize;
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_sendmsg,
                        [fd(a), header.as_ptr().expose_provenance(), flags, 0, 0, 0]
                    )
                )
            }
            Step::ReceiveMessage(a, len, control_room, to) => {
                let mut control = [0u8; 64];
                let piece = [room, len];
                let mut header = [
                    0,
                    0,
                    piece.as_ptr().expose_provenance(),
                    1,
                    control.as_mut_ptr().expose_provenance(),
                    control_room,
                    0,
                ];
                let done = self.call(
                    raw::__NR_recvmsg,
                    [fd(a), header.as_mut_ptr().expose_provenance(), 0, 0, 0, 0],
                );
                if done.is_err() {
                    return format!("{done:?}");
                }
                let mut text = format!(
                    "{done:?} {:?} control {} flags {:x}",
                    &buffer[..done.unwrap()],
                    header[5],
                    header[6] as u32
                );
                let kind = u32::from_ne_bytes([control[12], control[13], control[14], control[15]]);
                if header[5] >= 20 && kind == 1 {
                    let fd =
                        i32::from_ne_bytes([control[16], control[17], control[18], control[19]]);
                    text += " with a file";
                    self.put(to, fd as usize);
                }
                text
            }
            Step::Shutdown(a, how) => format!(
                "{:?}",
                self.call(raw::__NR_shutdown, [fd(a), how, 0, 0, 0, 0])
            ),
            Step::Bind(a, name) => {
                let address = self.address(name);
                let at = address.as_ptr().expose_provenance();
                format!(
                    "{:?}",
                    self.call(raw::__NR_bind, [fd(a), at, address.len(), 0, 0, 0])
                )
            }
            Step::Listen(a, backlog) => format!(
                "{:?}",
                self.call(raw::__NR_listen, [fd(a), backlog as usize, 0, 0, 0, 0])
            ),
            Step::Connect(a, name) => {
                let address = self.address(name);
                let at = address.as_ptr().expose_provenance();
                format!(
                    "{:?}",
                    self.call(raw::__NR_connect, [fd(a), at, address.len(), 0, 0, 0])
                )
            }
            Step::Accept(a, to) => {
                let made = self.call(raw::__NR_accept4, [fd(a), 0, 0, nonblock, 0, 0]);
                self.put_one(to, made)
            }
            Step::Names(a) => [raw::__NR_getsockname, raw::__NR_getpeername]
                .map(|number| {
                    let mut len = 110i32;
                    let len_at = (&raw mut len).expose_provenance();
                    let done = self.call(number, [fd(a), room, len_at, 0, 0, 0]);
                    format!(
                        "{done:?} {len} {:?}",
                        &buffer[..if done.is_ok() { len as usize } else { 0 }]
                    )
                })
                .concat(),
            Step::GetOption(a, name) => {
                let mut len = 8i32;
                let len_at = (&raw mut len).expose_provenance();
                let level = net::SOL_SOCKET as usize;
                let done = self.call(
                    raw::__NR_getsockopt,
                    [fd(a), level, name as usize, room, len_at, 0],
                );
                format!("{done:?} {len} {:?}", &buffer[..8])
            }
            // A small buffer makes the moment when it is full matter; credentials come on Linux even
            // with the end of a stream.
            Step::SetOption(_, net::SO_SNDBUF | net::SO_PASSCRED, _) => String::new(),
            Step::SetOption(a, name, to) => {
                let value = [to, 1];
                let at = value.as_ptr().expose_provenance();
                let level = net::SOL_SOCKET as usize;
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_setsockopt,
                        [fd(a), level, name as usize, at, 8, 0]
                    )
                )
            }
            Step::Waiting(a) => {
                let done = self.call(
                    raw::__NR_ioctl,
                    [fd(a), ioctl::FIONREAD as usize, room, 0, 0, 0],
                );
                format!("{done:?} {:?}", &buffer[..4])
            }
            // Linux counts a pipe's bytes in pages, so what fits a small one depends on how it came.
            Step::Fcntl(_, raw::F_SETPIPE_SZ, ..=5000) => String::new(),
            Step::Fcntl(a, command, to) => {
                format!(
                    "{:?}",
                    self.call(raw::__NR_fcntl, [fd(a), command as usize, to, 0, 0, 0])
                )
            }
            Step::Seek(a, by, whence) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_lseek,
                        [fd(a), by as usize, whence as usize, 0, 0, 0]
                    )
                )
            }
            Step::Truncate(a, size) => format!(
                "{:?}",
                self.call(raw::__NR_ftruncate, [fd(a), size as usize, 0, 0, 0, 0])
            ),
            Step::Status(a) => {
                let done = self.call(raw::__NR_fstat, [fd(a), room, 0, 0, 0, 0]);
                // SAFETY: the buffer is larger than the struct, and any bytes are valid.
                let stat: raw::stat =
                    unsafe { buffer.as_ptr().cast::<raw::stat>().read_unaligned() };
                format!(
                    "{done:?} {:o} {} {}",
                    stat.st_mode, stat.st_nlink, stat.st_size
                )
            }
            Step::Poll => {
                let mut set = self.slots.map(|fd| [fd as i32 as u32, 0x2007, 0]);
                // `struct pollfd`: fd, then two halves of a word: events, revents.
                let mut words: Vec<u32> = set
                    .iter_mut()
                    .flat_map(|entry| [entry[0], entry[1]])
                    .collect();
                let no_wait = [0u64; 2];
                let at = words.as_mut_ptr().expose_provenance();
                let time = no_wait.as_ptr().expose_provenance();
                let done = self.call(raw::__NR_ppoll, [at, SLOTS, time, 0, 8, 0]);
                let events: Vec<String> = words
                    .chunks(2)
                    .map(|entry| format!("{:x}", entry[1] >> 16))
                    .collect();
                format!("{done:?} {events:?}")
            }
            Step::Splice(from, to, len) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_splice,
                        [fd(from), 0, fd(to), 0, len, raw::SPLICE_F_NONBLOCK as usize]
                    )
                )
            }
            // All event counters are one inode on Linux, so they share their locks.
            Step::Lock(a, _) | Step::RecordLock(a, ..) if self.has_type(fd(a), 0) => String::new(),
            Step::Lock(a, how) => {
                format!(
                    "{:?}",
                    self.call(
                        raw::__NR_flock,
                        [fd(a), (how | raw::LOCK_NB) as usize, 0, 0, 0, 0]
                    )
                )
            }
            // New in Linux 6.7: it asks for the file's own locks.
            Step::RecordLock(_, raw::F_OFD_GETLK, 2, _, _) => String::new(),
            Step::RecordLock(a, command, kind, start, len) => {
                let mut words = [u64::from(kind as u16), start as u64, len as u64, 0];
                let at = words.as_mut_ptr().expose_provenance();
                let done = self.call(raw::__NR_fcntl, [fd(a), command as usize, at, 0, 0, 0]);
                // The process that holds a lock has another number on each side.
                format!("{done:?} {:?}", &words[..3])
            }
        }
    }
}

fn compare(steps: &[Step], number: u32) -> Result<(), String> {
    let mut worlds = [Side::Ours, Side::Host].map(|side| World {
        side,
        slots: [CLOSED; SLOTS],
        number,
    });
    let mut result = Ok(());
    for (index, step) in steps.iter().enumerate() {
        let [ours, host] = &mut worlds;
        result = difference(&ours.run(step), &host.run(step), &steps[..=index]);
        if result.is_err() {
            break;
        }
    }
    for world in &mut worlds {
        for slot in 0..SLOTS {
            world.put(slot, CLOSED);
        }
    }
    result
}

#[test]
#[ignore = "compares with the host's kernel"]
fn random_calls_on_streams() {
    run_cases(step(), compare);
}
