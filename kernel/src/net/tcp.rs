//! TCP sockets: what the calls of socket(7) and a file's do with a connection or a listener.

use super::TCP;
use super::address::{self, Family};
use super::channel::Channel;
use super::connection::{self, Connection};
use super::link::{self, Link};
use super::listener::Listener;
use super::options;
use super::ports::Binding;
use super::stack::{self, Role, Stack, TcpEntry};
use super::tcp_info;
use crate::fs::anonymous;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::io::{Sink, Source};
use crate::fs::socket::{Outgoing, Received, Socket, SocketFile};
use crate::fs::socket_options::{Direction, words};
use crate::libc::errno::{Errno, SysResult};
use crate::libc::signal;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFSOCK, SIGPIPE};
use linux_raw_sys::net as raw;
use smoltcp::socket::tcp;
use smoltcp::time::Duration;
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};
use smp::WaitQueue;

/// How long an unanswered connection attempt is kept up, in smoltcp's own count.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// smoltcp has no urgent pointer: urgent bytes go among the others, as they arrive behind the many
/// devices that clear it (RFC 6093, 3.4), and as every receiver with SO_OOBINLINE reads them.
const KNOWN_SEND: u32 = raw::MSG_DONTWAIT
    | raw::MSG_OOB
    | raw::MSG_NOSIGNAL
    | raw::MSG_EOR
    | raw::MSG_MORE
    | raw::MSG_DONTROUTE
    | raw::MSG_CONFIRM;

/// A TCP socket. The stack's lock guards its state.
pub struct TcpSocket {
    channel: Arc<Channel>,
    metadata: Metadata,
}

/// How far a connect(2) is.
enum Attempt {
    Waits,
    Done(Result<(), Errno>),
}

impl TcpSocket {
    /// Makes a socket that is bound to nothing.
    pub fn new(family: Family) -> Arc<Self> {
        Self::with_role(Channel::new(family), Role::Idle)
    }

    fn with_role(channel: Arc<Channel>, role: Role) -> Arc<Self> {
        let entry = TcpEntry {
            channel: channel.clone(),
            role,
        };
        stack::with(|stack| stack.tcp.insert(channel.id, entry));
        Arc::new(TcpSocket {
            channel,
            metadata: anonymous::metadata(S_IFSOCK | 0o777),
        })
    }

    /// Calls `f` with the stack and this socket's role, which is out of the stack meanwhile.
    fn with_role_taken<R>(&self, f: impl FnOnce(&mut Stack, &mut Role) -> R) -> R {
        stack::with(|stack| {
            let id = self.channel.id;
            let taken = stack
                .tcp
                .get_mut(&id)
                .map(|entry| core::mem::replace(&mut entry.role, Role::Idle));
            let mut role = taken.expect("an open socket has its entry");
            let result = f(stack, &mut role);
            if let Some(entry) = stack.tcp.get_mut(&id) {
                entry.role = role;
            }
            result
        })
    }

    /// Returns what `count` says of a connection; 0 of a socket that has none.
    fn queued(
        &self,
        count: impl FnOnce(&Connection, &mut [Link]) -> usize,
    ) -> Result<usize, Errno> {
        self.with_role_taken(|stack, role| match role {
            Role::Listener(_) => Err(Errno::EINVAL),
            Role::Idle => Ok(0),
            Role::Connection(connection) => Ok(count(connection, &mut stack.links)),
        })
    }

    /// Lets the stack run, with this socket's changes in it.
    fn run_stack() {
        stack::with(Stack::run);
    }

    fn binding(&self, at: IpEndpoint) -> Binding {
        let options = &self.channel.options;
        Binding {
            covers: address::covers(
                self.channel.family,
                at.addr,
                self.channel.ip_options.is_v6_only(),
            ),
            address: (!at.addr.is_unspecified()).then_some(at.addr),
            port: at.port,
            reuses_address: options.is_on(raw::SO_REUSEADDR),
            reuses_port: options.is_on(raw::SO_REUSEPORT),
            is_listening: false,
        }
    }

    /// Starts to connect, if that has not been done before.
    fn start(&self, bytes: &[u8]) -> Result<(), Errno> {
        let channel = &self.channel;
        let remote = channel.family.parse(bytes)?;
        let remote = IpEndpoint::new(link::destination(remote.addr), remote.port);
        if channel.family == Family::V6
            && channel.ip_options.is_v6_only()
            && matches!(remote.addr, IpAddress::Ipv4(_))
        {
            return Err(Errno::ENETUNREACH);
        }
        let way = stack::with(|stack| stack.route(remote.addr));
        let (on, source) = way.ok_or(Errno::ENETUNREACH)?;
        // As on Linux nobody is ever found on port 0.
        if remote.port == 0 {
            return Err(Errno::ECONNREFUSED);
        }
        self.with_role_taken(|stack, role| {
            match role {
                Role::Listener(_) => return Err(Errno::EISCONN),
                Role::Connection(old) if old.is_alive() => return Err(Errno::EISCONN),
                Role::Connection(_) | Role::Idle => {}
            }
            let bound = stack.tcp_ports.get(channel.id).copied();
            let source = bound.and_then(|binding| binding.address).unwrap_or(source);
            if core::mem::discriminant(&source) != core::mem::discriminant(&remote.addr) {
                return Err(Errno::EINVAL);
            }
            let port = match bound {
                Some(binding) => binding.port,
                None => {
                    let binding = self.binding(IpEndpoint::new(source, 0));
                    // Not the port that is called: that would be a call to itself.
                    stack
                        .tcp_ports
                        .bind(channel.id, binding, |port| port != remote.port)
                        .map_err(|_| Errno::EADDRNOTAVAIL)?
                }
            };
            let local = IpEndpoint::new(source, port);
            let link = &mut stack.links[on];
            let is_taken = link.sockets.iter().any(|(_, socket)| match socket {
                smoltcp::socket::Socket::Tcp(socket) => {
                    socket.local_endpoint() == Some(local)
                        && socket.remote_endpoint() == Some(remote)
                }
                _ => false,
            });
            if is_taken {
                return Err(Errno::EADDRNOTAVAIL);
            }
            let mut socket = connection::make()?;
            channel.ip_options.apply(&mut socket, link.is_loopback());
            socket.set_timeout(Some(CONNECT_TIMEOUT));
            socket
                .connect(link.interface.context(), remote, local)
                .map_err(|_| Errno::EADDRNOTAVAIL)?;
            let handle = link.sockets.add(socket);
            *role = Role::Connection(Connection::connecting(
                on,
                handle,
                local,
                remote,
                stack::now(),
            ));
            Ok(())
        })?;
        Self::run_stack();
        Ok(())
    }

    /// Takes a connection back: connect(2) to AF_UNSPEC.
    fn disconnect(&self) {
        self.with_role_taken(|stack, role| {
            if let Role::Connection(connection) = core::mem::replace(role, Role::Idle) {
                let orphan = connection.close(&mut stack.links, true);
                stack.orphans.extend(orphan);
            }
        });
        Self::run_stack();
        self.channel.changed.wake_all();
    }

    fn attempt(&self) -> Attempt {
        self.with_role_taken(|_, role| match role {
            Role::Connection(connection) if connection.is_connecting() => Attempt::Waits,
            Role::Connection(connection) => {
                let error = self.channel.options.check_error();
                Attempt::Done(match error {
                    Ok(()) if !connection.was_established() => Err(Errno::ECONNABORTED),
                    error => error,
                })
            }
            // Somebody took it back meanwhile.
            _ => Attempt::Done(Err(Errno::ECONNABORTED)),
        })
    }

    /// What a read finds: bytes, the end, or (`None`) nothing yet.
    fn try_receive(&self, to: &mut dyn Sink, flags: u32) -> Option<SysResult> {
        let is_peek = flags & raw::MSG_PEEK != 0;
        let result = self.with_role_taken(|stack, role| {
            let Role::Connection(connection) = role else {
                return Some(Err(Errno::ENOTCONN));
            };
            let available = connection.readable(&mut stack.links);
            if available > 0 {
                if flags & raw::MSG_TRUNC != 0 && !is_peek {
                    return Some(Ok(connection.skip(&mut stack.links, to.remaining())));
                }
                return Some(connection.read(&mut stack.links, to, is_peek));
            }
            if let Err(errno) = self.channel.options.check_error() {
                return Some(Err(errno));
            }
            if !connection.was_established() && !connection.is_connecting() {
                return Some(Err(Errno::ENOTCONN));
            }
            connection.is_over().then_some(Ok(0))
        });
        if matches!(result, Some(Ok(1..))) && !is_peek {
            // The other end may send more now.
            Self::run_stack();
        }
        result
    }

    /// What a write does: takes bytes, fails, or (`None`) finds no room.
    fn try_send(&self, from: &mut dyn Source) -> Option<SysResult> {
        let result = self.with_role_taken(|stack, role| {
            if let Err(errno) = self.channel.options.check_error() {
                return Some(Err(errno));
            }
            let Role::Connection(connection) = role else {
                return Some(Err(Errno::EPIPE));
            };
            if connection.is_connecting() {
                return None;
            }
            if connection.is_send_shut || !connection.is_alive() {
                return Some(Err(Errno::EPIPE));
            }
            if from.remaining() == 0 {
                return Some(Ok(0));
            }
            match connection.write(&mut stack.links, from) {
                Ok(0) => None,
                result => Some(result),
            }
        });
        if matches!(result, Some(Ok(1..))) {
            Self::run_stack();
        }
        result
    }

    fn send_all(&self, from: &mut dyn Source, is_nonblocking: bool) -> SysResult {
        let total = from.remaining();
        let mut done = 0;
        loop {
            let step = self.channel.options.wait(
                &self.channel.changed,
                Direction::Send,
                is_nonblocking,
                || self.try_send(from),
            );
            match step.and_then(|step| step) {
                Ok(count) => done += count,
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            }
            if done == total {
                return Ok(done);
            }
        }
    }
}

impl Socket for TcpSocket {
    fn bind(&self, bytes: &[u8]) -> Result<(), Errno> {
        let at = self.channel.family.parse(bytes)?;
        if !at.addr.is_unspecified() && !stack::with(|stack| link::is_local(&stack.links, at.addr))
        {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.with_role_taken(|stack, role| {
            if stack.tcp_ports.get(self.channel.id).is_some() || !matches!(role, Role::Idle) {
                return Err(Errno::EINVAL);
            }
            let binding = self.binding(at);
            stack.tcp_ports.bind(self.channel.id, binding, |_| true)?;
            Ok(())
        })
    }

    fn listen(&self, backlog: i32) -> Result<(), Errno> {
        self.with_role_taken(|stack, role| {
            if let Role::Connection(connection) = role
                && connection.is_alive()
            {
                return Err(Errno::EINVAL);
            }
            if !matches!(role, Role::Listener(_)) {
                let id = self.channel.id;
                if stack.tcp_ports.get(id).is_none() {
                    let binding = self.binding(self.channel.family.any(0));
                    stack.tcp_ports.bind(id, binding, |_| true)?;
                }
                stack.tcp_ports.listen(id)?;
                let binding = stack.tcp_ports.get(id).ok_or(Errno::EINVAL)?;
                let endpoint = IpListenEndpoint {
                    addr: binding.address,
                    port: binding.port,
                };
                let listener =
                    Listener::new(binding.covers, endpoint, &mut stack.links, stack::now());
                *role = Role::Listener(listener);
            }
            if let Role::Listener(listener) = role {
                listener.set_backlog(backlog, &mut stack.links, stack::now());
            }
            Ok(())
        })
    }

    fn accept(&self, open: OpenFlags) -> Result<(Arc<dyn File>, Vec<u8>), Errno> {
        let attempt = || {
            self.with_role_taken(|stack, role| {
                let Role::Listener(listener) = role else {
                    return Some(Err(Errno::EINVAL));
                };
                let connection = listener.accept(&mut stack.links, stack::now())?;
                Some(Ok(connection))
            })
        };
        let connection = self.channel.options.wait(
            &self.channel.changed,
            Direction::Receive,
            open.is_nonblocking(),
            attempt,
        )??;
        let channel = Channel::new(self.channel.family);
        channel.ip_options.copy_from(&self.channel.ip_options);
        channel.options.copy_switches(&self.channel.options);
        let address = channel.family.to_bytes(connection.remote);
        let socket = Self::with_role(channel, Role::Connection(connection));
        socket.apply_options();
        Self::run_stack();
        Ok((socket, address))
    }

    fn connect(&self, bytes: &[u8], open: OpenFlags) -> Result<(), Errno> {
        if address::number_of(bytes) == Some(raw::AF_UNSPEC) {
            self.disconnect();
            return Ok(());
        }
        let is_under_way = self.with_role_taken(
            |_, role| matches!(role, Role::Connection(connection) if connection.is_connecting()),
        );
        if is_under_way && open.is_nonblocking() {
            return Err(Errno::EALREADY);
        }
        if !is_under_way {
            // What a connection before this one left is not this one's.
            let error = self.channel.options.check_error();
            if open.is_nonblocking() {
                error?;
            }
            self.start(bytes)?;
            if open.is_nonblocking() {
                return Err(Errno::EINPROGRESS);
            }
        }
        let attempt = || match self.attempt() {
            Attempt::Waits => None,
            Attempt::Done(result) => Some(result),
        };
        let waited =
            self.channel
                .options
                .wait(&self.channel.changed, Direction::Send, false, attempt);
        waited.map_err(|errno| {
            // A time-out leaves the attempt under way (socket(7), SO_SNDTIMEO).
            if errno == Errno::EAGAIN {
                Errno::EINPROGRESS
            } else {
                errno
            }
        })?
    }

    fn local_address(&self) -> Result<Vec<u8>, Errno> {
        let family = self.channel.family;
        let endpoint = self.with_role_taken(|stack, role| {
            if let Role::Connection(connection) = role {
                return connection.local;
            }
            let binding = stack.tcp_ports.get(self.channel.id);
            binding.map_or(family.any(0), |binding| match binding.address {
                Some(address) => IpEndpoint::new(address, binding.port),
                None => family.any(binding.port),
            })
        });
        Ok(family.to_bytes(endpoint))
    }

    fn peer_address(&self) -> Result<Vec<u8>, Errno> {
        self.with_role_taken(|_, role| match role {
            Role::Connection(connection)
                if connection.is_alive() && !connection.is_connecting() =>
            {
                Ok(self.channel.family.to_bytes(connection.remote))
            }
            _ => Err(Errno::ENOTCONN),
        })
    }

    fn send(&self, message: Outgoing, flags: u32, open: OpenFlags) -> SysResult {
        if flags & !KNOWN_SEND != 0 || !message.rights.is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        let is_nonblocking = open.is_nonblocking() || flags & raw::MSG_DONTWAIT != 0;
        let sent = self.send_all(message.data, is_nonblocking);
        if sent == Err(Errno::EPIPE) && flags & raw::MSG_NOSIGNAL == 0 {
            signal::raise_in_current(SIGPIPE);
        }
        sent
    }

    fn receive(&self, to: &mut dyn Sink, flags: u32, open: OpenFlags) -> Result<Received, Errno> {
        if flags & raw::MSG_OOB != 0 {
            // Urgent data is not told apart: there never is any.
            return Err(Errno::EINVAL);
        }
        if flags & raw::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        let is_nonblocking = open.is_nonblocking() || flags & raw::MSG_DONTWAIT != 0;
        let wants_all = flags & raw::MSG_WAITALL != 0 && flags & raw::MSG_PEEK == 0;
        let wanted = to.remaining();
        let mut received = Received::default();
        loop {
            let step = self.channel.options.wait(
                &self.channel.changed,
                Direction::Receive,
                is_nonblocking,
                || self.try_receive(to, flags),
            );
            match step.and_then(|step| step) {
                Ok(0) => return Ok(received),
                Ok(count) => received.count += count,
                Err(_) if received.count > 0 => return Ok(received),
                Err(errno) => return Err(errno),
            }
            if !wants_all || received.count >= wanted {
                return Ok(received);
            }
        }
    }

    fn shutdown(&self, how: u32) -> Result<(), Errno> {
        let (receive, send) = match how {
            raw::SHUT_RD => (true, false),
            raw::SHUT_WR => (false, true),
            raw::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        self.with_role_taken(|stack, role| match role {
            Role::Connection(connection) if connection.is_alive() => {
                connection.is_receive_shut |= receive;
                if send {
                    connection.shut_send(&mut stack.links);
                }
                Ok(())
            }
            // The end of a listener (Linux): who waits to accept finds none.
            Role::Listener(_) if receive => {
                if let Role::Listener(listener) = core::mem::replace(role, Role::Idle) {
                    stack.orphans.extend(listener.close(&mut stack.links));
                }
                Ok(())
            }
            Role::Listener(_) => Ok(()),
            _ => Err(Errno::ENOTCONN),
        })?;
        Self::run_stack();
        self.channel.changed.wake_all();
        Ok(())
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if options::is_path_mtu(level, name) {
            let peer = self.with_role_taken(|_, role| match role {
                Role::Connection(connection) if connection.was_established() => {
                    Some(connection.remote.addr)
                }
                _ => None,
            });
            return stack::path_mtu(peer);
        }
        if (level, name) == (TCP, raw::TCP_INFO) {
            return Ok(self.info());
        }
        if level != raw::SOL_SOCKET {
            return self.channel.ip_options.get(level, name, true);
        }
        match name {
            raw::SO_TYPE => Ok(words(&[raw::SOCK_STREAM])),
            raw::SO_DOMAIN => Ok(words(&[self.channel.family.to_raw()])),
            raw::SO_PROTOCOL => Ok(words(&[TCP])),
            raw::SO_ACCEPTCONN => {
                let listens = self.with_role_taken(|_, role| matches!(role, Role::Listener(_)));
                Ok(words(&[u32::from(listens)]))
            }
            _ => self.channel.options.get(name),
        }
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level == raw::SOL_SOCKET {
            self.channel.options.set(name, value)?;
        } else {
            let is_bound = stack::with(|stack| stack.tcp_ports.get(self.channel.id).is_some());
            if is_bound && name == raw::IPV6_V6ONLY && level != TCP && level != 0 {
                return Err(Errno::EINVAL);
            }
            self.channel
                .ip_options
                .set(self.channel.family, level, name, value, true)?;
        }
        self.apply_options();
        // They may make a timer due sooner.
        Self::run_stack();
        Ok(())
    }
}

impl TcpSocket {
    /// Answers TCP_INFO.
    fn info(&self) -> Vec<u8> {
        self.with_role_taken(|stack, role| {
            let Role::Connection(connection) = role else {
                return tcp_info::tell(role, None, 0);
            };
            let way = stack.route(connection.remote.addr);
            let mtu = way.map_or(0, |(on, _)| stack.mtu(on));
            let socket = connection.socket(&mut stack.links);
            tcp_info::tell(role, socket.as_deref(), mtu as u32)
        })
    }

    /// Tells a connection what its options are now.
    fn apply_options(&self) {
        self.with_role_taken(|stack, role| {
            if let Role::Connection(connection) = role
                && let Some((socket, is_loopback)) = connection.socket_and_way(&mut stack.links)
            {
                let socket: &mut tcp::Socket = socket;
                let options = &self.channel.ip_options;
                options.apply(socket, is_loopback);
                // Until there is an answer to its SYN, patience is the attempt's.
                if connection.was_established() {
                    socket.set_timeout(options.patience(socket.send_queue()));
                }
            }
        });
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        let is_abrupt = self.channel.options.linger_seconds() == Some(0);
        stack::with(|stack| {
            stack.tcp_ports.release(self.channel.id);
            let Some(entry) = stack.tcp.remove(&self.channel.id) else {
                return;
            };
            match entry.role {
                Role::Idle => return,
                Role::Listener(listener) => {
                    stack.orphans.extend(listener.close(&mut stack.links));
                }
                Role::Connection(connection) => {
                    let orphan = connection.close(&mut stack.links, is_abrupt);
                    stack.orphans.extend(orphan);
                }
            }
            stack.run();
        });
    }
}

impl SocketFile for TcpSocket {
    fn stat(&self) -> Metadata {
        self.metadata
    }

    /// As Linux's `tcp_poll`.
    fn readiness(&self) -> PollEvents {
        let mut events = self.with_role_taken(|stack, role| match role {
            Role::Idle => PollEvents::WRITABLE | PollEvents::HUP,
            Role::Listener(listener) if listener.is_ready() => PollEvents::READABLE,
            Role::Listener(_) => PollEvents::empty(),
            Role::Connection(connection) if connection.is_connecting() => PollEvents::empty(),
            Role::Connection(connection) => {
                let links = &mut stack.links;
                let mut events = PollEvents::empty();
                let is_over = connection.is_over();
                let is_shut = connection.is_send_shut || !connection.is_alive();
                let has_bytes = connection.readable(links) > 0;
                events.set(PollEvents::READABLE, has_bytes || is_over);
                events.set(PollEvents::RDHUP, is_over);
                events.set(PollEvents::HUP, is_over && is_shut);
                events.set(PollEvents::WRITABLE, connection.is_writable(links));
                events
            }
        });
        events.set(PollEvents::ERR, self.channel.options.has_error());
        events
    }

    fn changed(&self) -> &WaitQueue {
        &self.channel.changed
    }

    fn unread(&self) -> Result<usize, Errno> {
        self.queued(Connection::readable)
    }

    fn unsent(&self) -> Result<usize, Errno> {
        self.queued(Connection::unsent)
    }
}
