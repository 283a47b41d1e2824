//! The way between the callers of a served file system and its server: `/dev/userfs`.
//!
//! `queue` and `taken` are under one spin lock; a request is in exactly one of them until its reply is there or its
//! caller has given up. Each request has a wait queue of its own, so a reply wakes one thread.

use super::Operation;
use super::node::FileSystem;
use crate::fs::context;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::inode::{FileType, Inode};
use crate::fs::io::{Sink, Source};
use crate::fs::mount::{self, Mount};
use crate::fs::walk::{self, Follow};
use crate::libc::errno::{Errno, SysResult};
use crate::libc::time;
use crate::memory::user;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use smp::{Mutex, SpinLock, WaitError, WaitQueue};

/// The ioctl that mounts: its argument is the address of `u64` time-out in ns, `u32` length of the path, the path
/// of a directory.
pub const MOUNT: u32 = 0x4010_5501;
/// The ioctl that unmounts: requests fail with ENOTCONN, servers that read find the end.
pub const UNMOUNT: u32 = 0x5502;

/// Bytes of the numbers before the path in a request.
pub const REQUEST_HEADER: usize = 32;
/// Bytes of the numbers before the data in a reply.
pub const REPLY_HEADER: usize = 16;
/// The most data that one request or reply carries. A server reads with room for this, both headers and two paths.
pub const MAX_DATA: usize = 1 << 17;

/// What a caller wants, and what became of it.
struct Request {
    number: u64,
    bytes: Vec<u8>,
    reply: SpinLock<Option<Result<Vec<u8>, Errno>>>,
    done: WaitQueue,
}

impl Request {
    fn answer(&self, reply: Result<Vec<u8>, Errno>) {
        *self.reply.lock() = Some(reply);
        self.done.wake_all();
    }
}

#[derive(Default)]
struct State {
    /// What no server has read yet.
    queue: VecDeque<Arc<Request>>,
    /// What a server has read and not answered.
    taken: BTreeMap<u64, Arc<Request>>,
    last_number: u64,
    /// Nobody will answer any more.
    is_closed: bool,
}

/// Requests of one mounted file system.
pub struct Channel {
    state: SpinLock<State>,
    /// Woken when a request is queued.
    queued: WaitQueue,
    /// How long a caller waits.
    timeout_ns: u64,
}

impl Channel {
    /// Makes one whose callers wait so long.
    pub fn new(timeout_ns: u64) -> Self {
        Channel {
            state: SpinLock::new(State::default()),
            queued: WaitQueue::new(),
            timeout_ns,
        }
    }

    /// Asks the server and waits for its reply.
    pub fn call(
        &self,
        operation: Operation,
        path: &[u8],
        numbers: [u64; 2],
        data: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::with_capacity(REQUEST_HEADER + path.len() + data.len());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&(operation as u32).to_ne_bytes());
        bytes.extend_from_slice(&(path.len() as u32).to_ne_bytes());
        for number in numbers {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(data);
        let request = {
            let mut state = self.state.lock();
            if state.is_closed {
                return Err(Errno::ENOTCONN);
            }
            state.last_number += 1;
            let number = state.last_number;
            bytes[..8].copy_from_slice(&number.to_ne_bytes());
            let request = Arc::new(Request {
                number,
                bytes,
                reply: SpinLock::new(None),
                done: WaitQueue::new(),
            });
            state.queue.push_back(request.clone());
            request
        };
        self.queued.wake_all();
        let deadline = time::monotonic_ns().saturating_add(self.timeout_ns);
        let take = || request.reply.lock().take();
        let error = match request.done.wait(Some(deadline), true, take) {
            Ok(reply) => return reply,
            Err(WaitError::TimedOut) => Errno::ETIMEDOUT,
            Err(WaitError::Interrupted) => Errno::RESTART,
        };
        self.forget(request.number);
        // The reply may have come between the end of the wait and `forget`.
        take().unwrap_or(Err(error))
    }

    /// Gives a request up; a reply to it is refused from now on.
    fn forget(&self, number: u64) {
        let mut state = self.state.lock();
        let taken = state.taken.remove(&number);
        let queued = state
            .queue
            .iter()
            .position(|request| request.number == number)
            .and_then(|at| state.queue.remove(at));
        drop(state);
        drop((taken, queued));
    }

    /// Waits for a request and hands it to a server; 0 bytes once the channel is closed.
    pub(super) fn receive(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        let room = to.remaining();
        let attempt = || {
            let mut state = self.state.lock();
            let Some(request) = state.queue.pop_front() else {
                return state.is_closed.then_some(Ok(None));
            };
            if request.bytes.len() > room {
                state.queue.push_front(request);
                return Some(Err(Errno::EINVAL));
            }
            state.taken.insert(request.number, request.clone());
            Some(Ok(Some(request)))
        };
        let request = if flags.is_nonblocking() {
            attempt().ok_or(Errno::EAGAIN)?
        } else {
            self.queued
                .wait(None, true, attempt)
                .map_err(|_| Errno::RESTART)?
        }?;
        let Some(request) = request else {
            return Ok(0);
        };
        if let Err(errno) = to.put(&request.bytes) {
            // Whoever waits must not wait for a server that never saw the request.
            self.forget(request.number);
            request.answer(Err(Errno::EIO));
            return Err(errno);
        }
        Ok(request.bytes.len())
    }

    /// Takes a server's reply; ENOENT if nobody waits for it any more.
    pub(super) fn reply(&self, from: &mut dyn Source) -> SysResult {
        let total = from.remaining();
        let mut header = [0; REPLY_HEADER];
        if !(REPLY_HEADER..=REPLY_HEADER + MAX_DATA).contains(&total) {
            return Err(Errno::EINVAL);
        }
        from.take(&mut header)?;
        let mut data = vec![0; total - REPLY_HEADER];
        from.take(&mut data)?;
        let (number, rest) = header.split_at(8);
        let (error, len) = rest.split_at(4);
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes);
        let number = number.try_into().map_or(0, u64::from_ne_bytes);
        let error = word(error).cast_signed();
        // The numbers above are the kernel's own (ERESTARTSYS and its like).
        if word(len) as usize != data.len() || !(0..512).contains(&error) {
            return Err(Errno::EINVAL);
        }
        let request = self.state.lock().taken.remove(&number);
        let request = request.ok_or(Errno::ENOENT)?;
        request.answer(match Errno::from_number(error) {
            Some(errno) => Err(errno),
            None => Ok(data),
        });
        Ok(total)
    }

    /// Fails everything that waits, and whatever comes.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let queue = core::mem::take(&mut state.queue);
        let taken = core::mem::take(&mut state.taken);
        drop(state);
        for request in queue.iter().chain(taken.values()) {
            request.answer(Err(Errno::ENOTCONN));
        }
        self.queued.wake_all();
    }

    /// Tells whether a server would not wait.
    fn is_readable(&self) -> bool {
        let state = self.state.lock();
        state.is_closed || !state.queue.is_empty()
    }
}

/// Where a server's file system is mounted.
struct Mounted {
    channel: Arc<Channel>,
    point: Arc<dyn Inode>,
    root: Arc<dyn Inode>,
    path: String,
}

/// An open `/dev/userfs`: a server's end.
struct ServerEnd {
    inode: Arc<dyn Inode>,
    mounted: Mutex<Option<Mounted>>,
    /// Woken, as `Channel::queued`, before anything is mounted: never.
    idle: WaitQueue,
    channel: spin::Once<Arc<Channel>>,
}

/// Opens the device.
pub fn open(inode: Arc<dyn Inode>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    Ok(Arc::new(ServerEnd {
        inode,
        mounted: Mutex::new(None),
        idle: WaitQueue::new(),
        channel: spin::Once::new(),
    }))
}

impl ServerEnd {
    fn channel(&self) -> Result<&Arc<Channel>, Errno> {
        self.channel.get().ok_or(Errno::ENOTCONN)
    }

    /// Ends the file system; tells whether there was one.
    fn unmount(&self) -> bool {
        let mounted = self.mounted.lock().take();
        if let Some(mounted) = &mounted {
            mount::unmount(&mounted.point, &mounted.root, &mounted.path);
            mounted.channel.close();
        }
        mounted.is_some()
    }

    /// Mounts on the directory that C's memory at `argument` names.
    fn mount(&self, argument: usize) -> SysResult {
        let fault = |_| Errno::EFAULT;
        let timeout_ns: u64 = user::read_user(argument).map_err(fault)?;
        let len: u32 = user::read_user(argument.wrapping_add(8)).map_err(fault)?;
        if timeout_ns == 0 || len == 0 || len as usize >= walk::PATH_MAX {
            return Err(Errno::EINVAL);
        }
        let mut path = vec![0; len as usize];
        user::copy_from_user(&mut path, argument.wrapping_add(12)).map_err(fault)?;
        let point = walk::resolve(&context::current_directory(), &path, Follow::Yes)?;
        if point.file_type() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut mounted = self.mounted.lock();
        // A channel is for one file system, also after that was unmounted.
        if self.channel.is_completed() {
            return Err(Errno::EBUSY);
        }
        let path = String::from_utf8_lossy(&walk::path_of(&point)?).replace(' ', "\\040");
        let channel = Arc::new(Channel::new(timeout_ns));
        let root: Arc<dyn Inode> = FileSystem::create(channel.clone());
        let mount = Mount {
            source: "userfs",
            path: path.clone(),
            fs_type: "userfs",
            options: "rw,relatime",
        };
        mount::mount_on(&point, root.clone(), mount)?;
        self.channel.call_once(|| channel.clone());
        *mounted = Some(Mounted {
            channel,
            point,
            root,
            path,
        });
        Ok(0)
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.unmount();
    }
}

impl File for ServerEnd {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        self.channel()?.receive(to, flags)
    }

    fn write(&self, from: &mut dyn Source, _flags: OpenFlags) -> SysResult {
        self.channel()?.reply(from)
    }

    fn poll(&self) -> PollEvents {
        let mut events = PollEvents::WRITABLE;
        let is_readable = self.channel().is_ok_and(|channel| channel.is_readable());
        events.set(PollEvents::READABLE, is_readable);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.channel().map_or(&self.idle, |channel| &channel.queued))
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        match request {
            MOUNT => self.mount(argument),
            UNMOUNT if self.unmount() => Ok(0),
            UNMOUNT => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }
}
