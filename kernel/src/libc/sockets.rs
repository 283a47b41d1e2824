//! The calls of socket(7): arguments in and out; the families do the rest.

use super::args;
use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::open::put_pair;
use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::{File, OpenFlags};
use crate::fs::io::{IoVec, UserBuffers};
use crate::fs::socket::{Control, Outgoing, Received, Socket};
use crate::fs::unix::{Kind, UnixSocket};
use crate::log;
use crate::memory::user;
use crate::net;
use crate::net::address::Family;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general as numbers;
use linux_raw_sys::net as raw;
use smp::Mutex;

/// The calls of this file.
pub const CALLS: Calls = &[
    (numbers::__NR_socket, socket),
    (numbers::__NR_socketpair, socketpair),
    (numbers::__NR_bind, bind),
    (numbers::__NR_listen, listen),
    (numbers::__NR_accept, accept),
    (numbers::__NR_accept4, accept4),
    (numbers::__NR_connect, connect),
    (numbers::__NR_getsockname, getsockname),
    (numbers::__NR_getpeername, getpeername),
    (numbers::__NR_sendto, sendto),
    (numbers::__NR_recvfrom, recvfrom),
    (numbers::__NR_sendmsg, sendmsg),
    (numbers::__NR_recvmsg, recvmsg),
    (numbers::__NR_shutdown, shutdown),
    (numbers::__NR_getsockopt, getsockopt),
    (numbers::__NR_setsockopt, setsockopt),
];

/// Flags in the type argument; the same values as O_CLOEXEC and O_NONBLOCK.
const SOCK_FLAGS: u32 = numbers::O_CLOEXEC | numbers::O_NONBLOCK;

/// The longest address (`struct sockaddr_storage`).
const ADDRESS_MAX: usize = 128;

/// The longest option value that is read.
const OPTION_MAX: usize = 4096;

fn open_flags(flags: u32) -> OpenFlags {
    OpenFlags::RDWR | OpenFlags::from_bits_retain(flags & numbers::O_NONBLOCK)
}

/// Returns the type argument of socket(2) without the flags in it.
fn type_of(kind: u32) -> Result<u32, Errno> {
    /// The types are below this number, the flags above.
    const TYPE_MASK: u32 = 0xf;
    const TYPES: u32 = 11;
    let (number, flags) = (kind & TYPE_MASK, kind & !TYPE_MASK);
    if flags & !SOCK_FLAGS != 0 || number >= TYPES {
        return Err(Errno::EINVAL);
    }
    Ok(number)
}

/// Reads the first three arguments of socket(2) and socketpair(2) for local sockets.
fn kind_of(family: u32, number: u32, protocol: u32) -> Result<Kind, Errno> {
    if family != raw::AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol != raw::AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Kind::from_raw(number)
}

/// socket(2).
fn socket(&[family, kind, protocol, ..]: &[usize; 6]) -> SysResult {
    let (family, kind, protocol) = (family as u32, kind as u32, protocol as u32);
    let number = type_of(kind)?;
    let socket: Arc<dyn File> = match (family, Family::from_raw(family)) {
        (_, Some(family)) => net::open(family, number, protocol)?,
        (raw::AF_NETLINK, None) => net::netlink::open(number, protocol)?,
        (raw::AF_PACKET, None) => net::packet::PacketSocket::open(number, protocol)?,
        (_, None) => UnixSocket::new(kind_of(family, number, protocol)?),
    };
    FILES.insert(
        Description::new(socket, open_flags(kind)),
        kind & numbers::O_CLOEXEC != 0,
        0,
    )
}

/// socketpair(2).
fn socketpair(&[family, kind, protocol, fds, ..]: &[usize; 6]) -> SysResult {
    let kind = kind as u32;
    let number = type_of(kind)?;
    if Family::from_raw(family as u32).is_some() {
        return Err(Errno::EOPNOTSUPP);
    }
    let (a, b) = UnixSocket::pair(kind_of(family as u32, number, protocol as u32)?);
    let pair = [
        Description::new(a, open_flags(kind)),
        Description::new(b, open_flags(kind)),
    ];
    let opened = FILES.insert_pair(pair, kind & numbers::O_CLOEXEC != 0)?;
    put_pair(fds, opened)
}

/// An open socket, kept open while a call uses it.
struct OpenSocket(Arc<Description>);

impl OpenSocket {
    fn get(fd: usize) -> Result<Self, Errno> {
        let description = FILES.get(fd)?;
        if description.file().socket().is_none() {
            return Err(Errno::ENOTSOCK);
        }
        Ok(OpenSocket(description))
    }

    fn socket(&self) -> &dyn Socket {
        self.0.file().socket().expect("checked when it was made")
    }

    fn flags(&self) -> OpenFlags {
        self.0.flags()
    }
}

/// Reads an address.
fn address(from: usize, len: usize) -> Result<Vec<u8>, Errno> {
    let len = len as i32;
    if !(0..=ADDRESS_MAX as i32).contains(&len) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len as usize];
    user::copy_from_user(&mut bytes, from)?;
    Ok(bytes)
}

/// Gives an address to C: as much as fits, and the length it really has.
fn put_address(address: &[u8], to: usize, len_at: usize) -> Result<(), Errno> {
    if to == 0 {
        return Ok(());
    }
    let room = user::read_user::<i32>(len_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    user::copy_to_user(to, &address[..address.len().min(room)])?;
    user::write_user(len_at, &(address.len() as i32))?;
    Ok(())
}

/// bind(2).
fn bind(&[fd, from, len, ..]: &[usize; 6]) -> SysResult {
    let open = OpenSocket::get(fd)?;
    open.socket().bind(&address(from, len)?)?;
    Ok(0)
}

/// listen(2).
fn listen(&[fd, backlog, ..]: &[usize; 6]) -> SysResult {
    OpenSocket::get(fd)?.socket().listen(backlog as i32)?;
    Ok(0)
}

/// accept(2).
fn accept(&[fd, to, len_at, ..]: &[usize; 6]) -> SysResult {
    accept4(&[fd, to, len_at, 0, 0, 0])
}

/// accept4(2).
fn accept4(&[fd, to, len_at, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !SOCK_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let open = OpenSocket::get(fd)?;
    let (file, address) = open.socket().accept(open.flags())?;
    put_address(&address, to, len_at)?;
    FILES.insert(
        Description::new(file, open_flags(flags)),
        flags & numbers::O_CLOEXEC != 0,
        0,
    )
}

/// connect(2).
fn connect(&[fd, from, len, ..]: &[usize; 6]) -> SysResult {
    let open = OpenSocket::get(fd)?;
    open.socket().connect(&address(from, len)?, open.flags())?;
    Ok(0)
}

/// getsockname(2).
fn getsockname(&[fd, to, len_at, ..]: &[usize; 6]) -> SysResult {
    put_address(&OpenSocket::get(fd)?.socket().local_address()?, to, len_at)?;
    Ok(0)
}

/// getpeername(2).
fn getpeername(&[fd, to, len_at, ..]: &[usize; 6]) -> SysResult {
    put_address(&OpenSocket::get(fd)?.socket().peer_address()?, to, len_at)?;
    Ok(0)
}

/// sendto(2).
fn sendto(&[fd, base, len, flags, to, to_len]: &[usize; 6]) -> SysResult {
    let open = OpenSocket::get(fd)?;
    let to = if to == 0 {
        Vec::new()
    } else {
        address(to, to_len)?
    };
    let pieces = [IoVec { base, len }];
    let mut data = UserBuffers::new(&pieces);
    let message = Outgoing {
        data: &mut data,
        to: &to,
        rights: Vec::new(),
        control: Vec::new(),
    };
    open.socket().send(message, flags as u32, open.flags())
}

/// recvfrom(2).
fn recvfrom(&[fd, base, len, flags, from, from_len]: &[usize; 6]) -> SysResult {
    let open = OpenSocket::get(fd)?;
    let pieces = [IoVec { base, len }];
    let received =
        open.socket()
            .receive(&mut UserBuffers::new(&pieces), flags as u32, open.flags())?;
    put_address(&received.from, from, from_len)?;
    Ok(received.count)
}

/// `struct msghdr` as seven words: name, its length, pieces, their number, control, its length, flags.
/// musl and Linux give the lengths different types, but the words lie in the same places.
struct Header {
    name: usize,
    name_len: usize,
    pieces: usize,
    piece_count: usize,
    control: usize,
    control_len: usize,
}

impl Header {
    const NAME_LEN: usize = 8;
    const CONTROL_LEN: usize = 40;
    const FLAGS: usize = 48;

    fn read(at: usize) -> Result<Header, Errno> {
        let [name, name_len, pieces, piece_count, control, control_len, _] =
            user::read_user::<[usize; 7]>(at)?;
        Ok(Header {
            name,
            name_len: name_len as u32 as usize,
            pieces,
            piece_count,
            control,
            control_len,
        })
    }

    fn pieces(&self) -> Result<Vec<IoVec>, Errno> {
        // For messages too many pieces are EMSGSIZE, not EINVAL.
        args::pieces(self.pieces, self.piece_count).map_err(|errno| {
            if self.piece_count > 1024 {
                Errno::EMSGSIZE
            } else {
                errno
            }
        })
    }
}

/// sendmsg(2).
fn sendmsg(&[fd, header, flags, ..]: &[usize; 6]) -> SysResult {
    let open = OpenSocket::get(fd)?;
    let header = Header::read(header)?;
    let pieces = header.pieces()?;
    let to = if header.name == 0 {
        Vec::new()
    } else {
        address(header.name, header.name_len)?
    };
    let (rights, control) = read_control(header.control, header.control_len)?;
    let mut data = UserBuffers::new(&pieces);
    open.socket().send(
        Outgoing {
            data: &mut data,
            to: &to,
            rights,
            control,
        },
        flags as u32,
        open.flags(),
    )
}

/// Bytes of `struct cmsghdr`: length, level, type.
const CONTROL_HEADER: usize = 16;
const SCM_RIGHTS: u32 = 1;
const SCM_CREDENTIALS: u32 = 2;
/// The most open files in one message.
const RIGHTS_MAX: usize = 253;
/// The most control bytes that are read (`optmem_max`).
const CONTROL_MAX: usize = 131_072;

/// What the control messages of sendmsg(2) say: the open files to pass on, and what is for the family.
type Said = (Vec<Arc<Description>>, Vec<Control>);

/// Reads the control messages of sendmsg(2).
fn read_control(at: usize, len: usize) -> Result<Said, Errno> {
    if len > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; if at == 0 { 0 } else { len }];
    user::copy_from_user(&mut bytes, at)?;
    let mut rights = Vec::new();
    let mut control = Vec::new();
    let mut rest = &bytes[..];
    while rest.len() >= CONTROL_HEADER {
        let word = |from: usize| {
            rest[from..]
                .first_chunk()
                .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        let len = rest
            .first_chunk()
            .map_or(0, |bytes| usize::from_ne_bytes(*bytes));
        let (level, kind) = (word(8), word(12));
        if len < CONTROL_HEADER || len > rest.len() {
            return Err(Errno::EINVAL);
        }
        let data = &rest[CONTROL_HEADER..len];
        match (level, kind) {
            (raw::SOL_SOCKET, SCM_RIGHTS) => {
                for fd in data.chunks_exact(4) {
                    let fd = fd
                        .first_chunk()
                        .map_or(-1, |bytes| i32::from_ne_bytes(*bytes));
                    rights.push(FILES.get_any(fd as usize)?);
                }
                if rights.len() > RIGHTS_MAX {
                    return Err(Errno::EINVAL);
                }
            }
            // Everybody is the same process and root: any claim that has the right size is true enough.
            (raw::SOL_SOCKET, SCM_CREDENTIALS) if data.len() == 12 => {}
            (raw::SOL_SOCKET, _) => return Err(Errno::EINVAL),
            _ => control.push(Control {
                level,
                kind,
                data: data.to_vec(),
            }),
        }
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok((rights, control))
}

/// recvmsg(2).
fn recvmsg(&[fd, at, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    let open = OpenSocket::get(fd)?;
    let header = Header::read(at)?;
    let pieces = header.pieces()?;
    let received = open
        .socket()
        .receive(&mut UserBuffers::new(&pieces), flags, open.flags())?;
    if header.name != 0 {
        let fits = received.from.len().min(header.name_len);
        user::copy_to_user(header.name, &received.from[..fits])?;
        user::write_user(at + Header::NAME_LEN, &(received.from.len() as u32))?;
    }
    let (control_len, control_flags) = put_control(&header, &received, flags)?;
    user::write_user(at + Header::CONTROL_LEN, &control_len)?;
    user::write_user(at + Header::FLAGS, &(received.flags | control_flags))?;
    Ok(received.count)
}

/// Gives control messages to C; returns the bytes used, and MSG_CTRUNC if there was more.
fn put_control(header: &Header, received: &Received, flags: u32) -> Result<(usize, u32), Errno> {
    let room = if header.control == 0 {
        0
    } else {
        header.control_len
    };
    let mut written = Written {
        at: header.control,
        room,
        used: 0,
        is_cut: false,
    };
    if let Some(credentials) = &received.credentials {
        let bytes: Vec<u8> = credentials
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        written.put(raw::SOL_SOCKET, SCM_CREDENTIALS, &bytes)?;
    }
    if !received.rights.is_empty() {
        let fit = written.left().saturating_sub(CONTROL_HEADER) / 4;
        written.is_cut |= fit < received.rights.len();
        let is_cloexec = flags & raw::MSG_CMSG_CLOEXEC != 0;
        let mut bytes = Vec::new();
        for description in received.rights.iter().take(fit) {
            match FILES.insert(description.clone(), is_cloexec, 0) {
                Ok(fd) => bytes.extend_from_slice(&(fd as i32).to_ne_bytes()),
                // Too many open files: the rest is lost, as on Linux.
                Err(_) => {
                    written.is_cut = true;
                    break;
                }
            }
        }
        if !bytes.is_empty() {
            written.put(raw::SOL_SOCKET, SCM_RIGHTS, &bytes)?;
        }
    }
    for control in &received.control {
        written.put(control.level, control.kind, &control.data)?;
    }
    let flags = if written.is_cut { raw::MSG_CTRUNC } else { 0 };
    Ok((written.used, flags))
}

/// The control messages that C has been given.
struct Written {
    at: usize,
    room: usize,
    used: usize,
    is_cut: bool,
}

impl Written {
    fn left(&self) -> usize {
        self.room - self.used
    }

    /// Writes one message, as much as there is room for: as on Linux its header or nothing.
    fn put(&mut self, level: u32, kind: u32, data: &[u8]) -> Result<(), Errno> {
        if self.left() < CONTROL_HEADER {
            self.is_cut = true;
            return Ok(());
        }
        let fits = data.len().min(self.left() - CONTROL_HEADER);
        self.is_cut |= fits < data.len();
        let len = CONTROL_HEADER + fits;
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&level.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&data[..fits]);
        user::copy_to_user(self.at + self.used, &bytes)?;
        self.used = (self.used + len.next_multiple_of(8)).min(self.room);
        Ok(())
    }
}

/// shutdown(2).
fn shutdown(&[fd, how, ..]: &[usize; 6]) -> SysResult {
    OpenSocket::get(fd)?.socket().shutdown(how as u32)?;
    Ok(0)
}

/// Notes an option that is not known here, each once.
fn noted<R>(level: u32, name: u32, result: Result<R, Errno>) -> Result<R, Errno> {
    /// Options beyond so many are not noted: programs may ask for all there could be.
    const NOTED_MAX: usize = 64;
    static NOTED: Mutex<Vec<(u32, u32)>> = Mutex::new(Vec::new());
    if matches!(result, Err(Errno::ENOPROTOOPT)) {
        let mut known = NOTED.lock();
        if known.len() < NOTED_MAX && !known.contains(&(level, name)) {
            known.push((level, name));
            log::info!(
                "kernel.libc",
                "no such socket option: level {level}, name {name}, answered ENOPROTOOPT"
            );
        }
    }
    result
}

/// getsockopt(2).
fn getsockopt(&[fd, level, name, to, len_at, ..]: &[usize; 6]) -> SysResult {
    let open = OpenSocket::get(fd)?;
    let room = usize::try_from(user::read_user::<i32>(len_at)?).map_err(|_| Errno::EINVAL)?;
    let (level, name) = (level as u32, name as u32);
    let value = noted(level, name, open.socket().option(level, name))?;
    let count = value.len().min(room);
    user::copy_to_user(to, &value[..count])?;
    user::write_user(len_at, &(count as i32))?;
    Ok(0)
}

/// setsockopt(2).
fn setsockopt(&[fd, level, name, from, len, ..]: &[usize; 6]) -> SysResult {
    let open = OpenSocket::get(fd)?;
    let len = usize::try_from(len as i32).map_err(|_| Errno::EINVAL)?;
    let mut value = vec![0; len.min(OPTION_MAX)];
    user::copy_from_user(&mut value, from)?;
    let (level, name) = (level as u32, name as u32);
    noted(level, name, open.socket().set_option(level, name, &value))?;
    Ok(0)
}
