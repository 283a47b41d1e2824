//! Addresses of local sockets: a path with an inode, or a name in a namespace of its own (abstract).

use super::socket::{Kind, UnixSocket};
use crate::fs::context;
use crate::fs::inode::{FileType, Inode, NewNode};
use crate::fs::walk::{self, Follow, Last};
use crate::libc::errno::Errno;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::net::AF_UNIX;
use smp::SpinLock;

/// Bytes of `sun_path`.
const PATH_LEN: usize = 108;

/// What a `sockaddr_un` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A path in the file system.
    Path(Vec<u8>),
    /// A name that is none in the file system.
    Abstract(Vec<u8>),
    /// No name: bind(2) makes one up.
    Unnamed,
}

/// Where a bound socket is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// By device and inode number.
    Inode(u64, u64),
    /// By abstract name; each kind of socket has its own.
    Abstract(Kind, Vec<u8>),
}

static BOUND: SpinLock<BTreeMap<Key, Weak<UnixSocket>>> = SpinLock::new(BTreeMap::new());

impl Address {
    /// Reads a `sockaddr_un` of the length that C gave.
    pub fn parse(bytes: &[u8]) -> Result<Address, Errno> {
        let family = bytes
            .first_chunk()
            .map(|family| u16::from_ne_bytes(*family))
            .ok_or(Errno::EINVAL)?;
        if u32::from(family) != AF_UNIX || bytes.len() > 2 + PATH_LEN {
            return Err(Errno::EINVAL);
        }
        match &bytes[2..] {
            [] => Ok(Address::Unnamed),
            [0, name @ ..] => Ok(Address::Abstract(name.to_vec())),
            path => {
                let end = path
                    .iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(path.len());
                Ok(Address::Path(path[..end].to_vec()))
            }
        }
    }

    /// Returns it as a `sockaddr_un`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (AF_UNIX as u16).to_ne_bytes().to_vec();
        match self {
            Address::Path(path) => {
                bytes.extend_from_slice(path);
                bytes.push(0);
            }
            Address::Abstract(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name);
            }
            Address::Unnamed => {}
        }
        bytes
    }

    /// Finds the socket that is bound there; `ECONNREFUSED` if none is, `EPROTOTYPE` if it is not
    /// of this kind.
    pub fn find(&self, kind: Kind) -> Result<Arc<UnixSocket>, Errno> {
        let key = match self {
            Address::Path(path) => {
                let inode = walk::resolve(&context::current_directory(), path, Follow::Yes)?;
                if inode.file_type() != FileType::Socket {
                    return Err(Errno::ECONNREFUSED);
                }
                key_of(&*inode)
            }
            Address::Abstract(name) => Key::Abstract(kind, name.clone()),
            Address::Unnamed => return Err(Errno::EINVAL),
        };
        let found = BOUND.lock().get(&key).cloned();
        let socket = found
            .and_then(|socket| socket.upgrade())
            .ok_or(Errno::ECONNREFUSED)?;
        if socket.kind == kind {
            Ok(socket)
        } else {
            Err(Errno::EPROTOTYPE)
        }
    }

    /// Binds a socket there; returns the address, made up if there was none, and where it is found.
    pub fn bind(self, kind: Kind, socket: &Weak<UnixSocket>) -> Result<(Address, Key), Errno> {
        match self {
            Address::Path(path) => {
                let found = walk::walk(&context::current_directory(), &path, Follow::Never)?;
                if found.inode.is_some() {
                    return Err(Errno::EADDRINUSE);
                }
                let Last::Name(name) = found.last else {
                    return Err(Errno::EADDRINUSE);
                };
                if found.wants_directory {
                    return Err(Errno::ENOENT);
                }
                let made = found
                    .directory
                    .create(&name, 0o777 & !context::mask(), NewNode::Socket);
                let inode = made.map_err(|errno| {
                    if errno == Errno::EEXIST {
                        Errno::EADDRINUSE
                    } else {
                        errno
                    }
                })?;
                let key = key_of(&*inode);
                BOUND.lock().insert(key.clone(), socket.clone());
                Ok((Address::Path(path), key))
            }
            Address::Abstract(name) => {
                let key = Key::Abstract(kind, name.clone());
                if !claim(&key, socket) {
                    return Err(Errno::EADDRINUSE);
                }
                Ok((Address::Abstract(name), key))
            }
            Address::Unnamed => loop {
                // autobind: five hexadecimal digits (unix(7)).
                static NEXT: AtomicU32 = AtomicU32::new(0);
                let number = NEXT.fetch_add(1, Ordering::Relaxed) & 0xf_ffff;
                let name = format!("{number:05x}").into_bytes();
                let key = Key::Abstract(kind, name.clone());
                if claim(&key, socket) {
                    return Ok((Address::Abstract(name), key));
                }
            },
        }
    }
}

/// Takes an abstract name unless a living socket has it.
fn claim(key: &Key, socket: &Weak<UnixSocket>) -> bool {
    let mut bound = BOUND.lock();
    if bound.get(key).is_some_and(|other| other.strong_count() > 0) {
        return false;
    }
    bound.insert(key.clone(), socket.clone());
    true
}

/// Gives up what `bind` took.
pub fn release(key: &Key) {
    let old = BOUND.lock().remove(key);
    drop(old);
}

fn key_of(inode: &dyn Inode) -> Key {
    let metadata = inode.metadata();
    Key::Inode(metadata.device, metadata.inode)
}
