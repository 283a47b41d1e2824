"""The Python shell over TCP: a session for each connection.

```text
   socket ◄─► Server, one thread for all ◄─► pseudo-terminal ◄─► Session, a thread of its own
```
The thread in the middle only moves bytes. It takes none from one side that the other has no room for,
so a client that does not read makes its own session wait and nobody else's.
"""

import errno
import fcntl
import math
import os
import select
import selectors
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from kernel.net._access import Access
from kernel.net._telnet import Telnet

#: Sessions at once.
LIMIT: Final = 64
#: How long a client may take to say that it speaks telnet, in seconds: before that its session does not begin.
PATIENCE: Final = 0.15
#: How long one that does may take to say what its terminal is.
TELNET_PATIENCE: Final = 2.0
#: How long nobody is let in when the machine has run out of what a connection needs, and how long the server rests
#: when it failed for a reason of its own.
_PAUSE: Final = 1.0
#: How long a plain client must have sent nothing for its end of input to be taken for its user's leaving, and how long
#: what runs may go on then, in seconds.
_HANG_UP_DELAY: Final = 1.0
#: Clients at once that have not given the token yet.
STRANGERS: Final = 8
#: How long a client may take to give it, and how long it waits for the answer to a wrong one, in seconds.
TOKEN_PATIENCE: Final = 30.0
WRONG_TOKEN_DELAY: Final = 1.0
#: How long one that is sent away may take to close its side.
_FAREWELL: Final = 2.0
#: The longest line that is taken for one.
_TOKEN_LIMIT: Final = 256
#: The most that waits for one side.
_ROOM: Final = 1 << 16

#: Ctrl-D, for when all before it has been read: one ends a last line without its newline, others `sh()`
#: and what reads its input to the end there.
_END_OF_INPUT: Final = b"\x04" * 8

#: What a machine may run out of that a connection needs.
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

#: Servers whose descriptors somebody else has closed: the numbers may be others' by now, so nothing may
#: close them again, not even as garbage.
_lost: "list[Server]" = []

#: Serves a terminal, given by its descriptor, type and the session's name, until its user leaves.
Serve = Callable[[int, str, str], None]


def serve_session(terminal_fd: int, terminal: str, name: str) -> None:
    """Runs a session of the shell."""
    from kernel.net._chat import Chat
    from kernel.shell import Session, _interrupts

    # The server interrupts a session whose user has gone. If the session had ended by itself, the interrupt would come
    # in what follows it and leave the terminal open, and the connection with it.
    _interrupts.hold()
    with Chat(terminal_fd, name) as chat:
        Session(terminal_fd, terminal=terminal, name=name, names={"chat": chat}).run()


def _log_failure(error: Exception, what: str) -> None:
    from kernel import log

    log.exception(error, what, target="kernel.net")


class _Connection:
    """One client: its socket, and the terminal of its session. The server's thread uses it."""

    def __init__(self, client: socket.socket, name: str, serve: Serve, access: Access) -> None:
        self.socket = client
        self.name = name
        self._serve = serve
        self._access = access
        self.was_sent_away = False
        #: `begin_again` is to be called.
        self.is_to_begin_again = False
        #: It has not given the token.
        self.is_stranger = access.token is not None
        #: When `expire` is to be called.
        self.deadline: float | None = time.monotonic() + (TOKEN_PATIENCE if self.is_stranger else PATIENCE)
        self._typed = bytearray()
        self._farewell = b""
        self._telnet = Telnet()
        self._open_terminal()
        self.to_terminal = bytearray()
        self.to_socket = bytearray(b"token: " if self.is_stranger else b"")
        #: Something was typed that the session has, or will have.
        self._has_typed = False
        #: When something last went from the client to the session.
        self._moved = time.monotonic()
        #: The client sends nothing more; the session writes nothing more.
        self.has_input_ended = self.has_output_ended = False

    def _open_terminal(self) -> None:
        self.terminal, self._session_side = os.openpty()
        self.has_begun = False
        self._size: tuple[int, int] | None = None
        self._echoes = True
        os.set_blocking(self.terminal, False)

    # -- what has arrived -----------------------------------------------------------------------

    def receive(self) -> None:
        """Takes what the client has sent."""
        try:
            data = self.socket.recv(_ROOM)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # Nobody is there any more: the session's user has gone.
            self.hang_up()
            return
        if not data and self.is_stranger:
            self.send_away(b"")
            return
        if not data and self._telnet.is_spoken:
            # It has nobody's input piped in: the user has gone.
            self.hang_up()
            return
        if not data:
            self.has_input_ended = True
            self.begin()
            if not self.to_terminal and time.monotonic() - self._moved > _HANG_UP_DELAY:
                # No pipe has run dry, which would show right after the last of what was in it: a user who had been
                # waiting has gone. A socket that is closed and one that has only nothing more to send look the same.
                self.deadline = time.monotonic() + _HANG_UP_DELAY
            self.to_terminal += _END_OF_INPUT
            return
        self._moved = time.monotonic()
        data = self._take_commands(data)
        if self.is_stranger:
            data = self._take_token(data)
        if self.is_stranger:
            return
        self._has_typed |= bool(data)
        self.to_terminal += data
        if not self._telnet.is_spoken or not self._telnet.is_to_say_more:
            self.begin()

    def _take_commands(self, data: bytes) -> bytes:
        """Looks for what the client's program says of its terminal; returns what its user has typed."""
        telnet = self._telnet
        was_spoken = telnet.is_spoken
        typed = telnet.receive(data)
        if telnet.is_spoken and not was_spoken and not (self._has_typed or typed):
            telnet.offer()
            self.is_to_begin_again = self.has_begun
            if not self.is_stranger:
                self.deadline = time.monotonic() + TELNET_PATIENCE
        self.to_socket += telnet.replies
        telnet.replies.clear()
        self._set_up_terminal()
        return typed

    def _set_up_terminal(self) -> None:
        """Has the terminal be as the client says: what shows what is typed, and how large the window is."""
        telnet = self._telnet
        if self.has_begun and telnet.echoes != self._echoes:
            self._echoes = telnet.echoes
            modes = termios.tcgetattr(self.terminal)
            modes[3] = modes[3] | termios.ECHO if self._echoes else modes[3] & ~termios.ECHO
            if not telnet.is_spoken:
                # Such a client's own terminal ends the lines, too.
                modes[1] &= ~termios.ONLCR
            termios.tcsetattr(self.terminal, termios.TCSANOW, modes)
        if telnet.size is not None and telnet.size != self._size:
            self._size = telnet.size
            columns, lines = self._size
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _take_token(self, data: bytes) -> bytes:
        """Looks whether what has been typed is the token; returns what comes after it."""
        self._typed += data
        ends = [at for at in (self._typed.find(end) for end in (b"\r", b"\n")) if at >= 0]
        if self._farewell or (not ends and len(self._typed) <= _TOKEN_LIMIT):
            return b""
        typed = bytes(self._typed[: min(ends, default=0)])
        rest = bytes(self._typed[min(ends, default=0) :]).removeprefix(b"\r").removeprefix(b"\n")
        if not ends or not self._access.is_token(typed):
            # Not at once: who tries many has to wait for each.
            self._farewell = b"PythonOS: that is not the token\r\n"
            self.deadline = time.monotonic() + WRONG_TOKEN_DELAY
            return b""
        self.is_stranger = False
        self.deadline = time.monotonic() + (TELNET_PATIENCE if self._telnet.is_spoken else PATIENCE)
        return rest

    def expire(self) -> None:
        """Does what is to be done when `deadline` has passed."""
        if self.is_stranger:
            self.send_away(self._farewell or b"PythonOS: no token has come\r\n")
        elif self.has_input_ended:
            self.deadline = None
            self._interrupt()
        else:
            self.begin()

    def send_away(self, line: bytes) -> None:
        """Ends it before its session has begun; `line` says why."""
        self.deadline = None
        self.was_sent_away = True
        self.is_stranger = False
        self.has_begun = self.has_input_ended = self.has_output_ended = True
        os.close(self._session_side)
        self.to_socket += line

    def begin(self) -> None:
        """Starts the session, in a thread of its own, if that has not been done."""
        if self.has_begun:
            return
        self.has_begun = True
        self.deadline = None
        self._set_up_terminal()
        # A client that shows what is typed by itself has a prompt that leaves the line to it.
        terminal = (self._telnet.terminal if self._telnet.echoes else None) or "dumb"
        arguments = self._session_side, terminal
        try:
            threading.Thread(target=self._run, args=arguments, name=self.name, daemon=True).start()
        except RuntimeError:
            self.send_away(b"PythonOS: no memory for another session\r\n")

    def begin_again(self) -> None:
        """Gives the client another session, in place of one that began before it said what its terminal is.

        Nothing was typed in that one. It ends as its terminal goes.
        """
        self.is_to_begin_again = False
        before = self.terminal
        try:
            self._open_terminal()
        except OSError:
            # The machine has no other: the session goes on as it is.
            return
        os.close(before)
        self._set_up_terminal()
        if not self._telnet.is_to_say_more:
            self.begin()

    def _run(self, fd: int, terminal: str) -> None:
        try:
            self._serve(fd, terminal, self.name)
        finally:
            # The last descriptor of the session's side: the server sees the end of its output.
            os.close(fd)

    # -- what is to be sent ---------------------------------------------------------------------

    def feed_terminal(self) -> None:
        """Gives the session what the client has sent."""
        try:
            count = os.write(self.terminal, self.to_terminal)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # The session has ended.
            count = len(self.to_terminal)
        del self.to_terminal[:count]
        self._moved = time.monotonic()

    def read_terminal(self) -> None:
        """Takes what the session has written."""
        try:
            data = os.read(self.terminal, _ROOM)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self.has_output_ended = True
        self.to_socket += self._telnet.quote(data)

    def feed_socket(self) -> None:
        """Sends the client what the session has written."""
        try:
            count = self.socket.send(self.to_socket)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.hang_up()
            return
        del self.to_socket[:count]

    # -- the end --------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """Ends the session's input; what it runs is interrupted, as nobody waits for it."""
        if not self.has_begun:
            self.send_away(b"")
            self.to_socket.clear()
            return
        self.deadline = None
        self.has_input_ended = self.has_output_ended = True
        self._interrupt()
        self.to_socket.clear()

    def _interrupt(self) -> None:
        """Ends what the session runs as Ctrl-C does, and its input."""
        with suppress(OSError, termios.error):
            # Ctrl-C finds room whatever was typed ahead.
            termios.tcflush(self.terminal, termios.TCOFLUSH)
            os.write(self.terminal, b"\x03" + _END_OF_INPUT)

    @property
    def is_over(self) -> bool:
        """Whether all has been sent that will ever be written."""
        return self.has_output_ended and not self.to_socket

    def close_terminal(self) -> None:
        """Lets go of the terminal, whose session reads the end of its input."""
        os.close(self.terminal)

    def wanted_of_socket(self) -> int:
        """Returns the events of the socket that something is to be done at."""
        reads = not self.has_input_ended and len(self.to_terminal) < _ROOM
        return (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if self.to_socket else 0)

    def wanted_of_terminal(self) -> int:
        """Returns the same for the terminal."""
        reads = self.has_begun and not self.has_output_ended and len(self.to_socket) < _ROOM
        # What is typed is echoed: without room for that it waits, too.
        writes = self.has_begun and bool(self.to_terminal) and len(self.to_socket) < _ROOM
        return (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)


class _Leaving:
    """A client that is sent away.

    What it still sends is read, and dropped: to close while there is something unread resets the
    connection, and the client may lose the line that says why.
    """

    def __init__(self, client: socket.socket, line: bytes) -> None:
        self.socket = client
        self.deadline = time.monotonic() + _FAREWELL
        with suppress(OSError):
            client.send(line)
            client.shutdown(socket.SHUT_WR)

    def is_gone(self) -> bool:
        """Reads what there is; tells whether the client has closed, too."""
        try:
            while self.socket.recv(_ROOM):
                pass
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            pass
        return True


class Server:
    """Serves every client of a listening socket a session, `limit` at once.

    `serve` is called for each in a thread of its own, with the terminal's descriptor and type, and a
    name; the session is over when it returns.
    """

    def __init__(
        self,
        listener: socket.socket,
        access: Access,
        serve: Serve = serve_session,
        limit: int = LIMIT,
    ) -> None:
        self._listener = listener
        self._access = access
        self._serve = serve
        self._limit = limit
        #: The connections. `_poll` waits for it, the listener and the pipe: unlike an epoll, which forgets what somebody
        #: closes, it keeps hold of them meanwhile and complains of their numbers afterwards.
        self._selector = selectors.EpollSelector()
        self._poll = select.poll()
        self._connections: set[_Connection] = set()
        #: Those with a deadline.
        self._waiting: set[_Connection] = set()
        self._leaving: set[_Leaving] = set()
        self._count = 0
        #: When clients are let in again; None while they are.
        self._pause_end: float | None = None
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_stopped = False

    def stop(self) -> None:
        """Has `run` end: nobody is let in any more, and sessions lose their terminals."""
        self._is_stopped = True
        os.write(self._wake_writer, b"\0")

    def run(self) -> None:
        """Serves in the calling thread until `stop`.

        Raises `OSError` when somebody else, `os.closerange` in a session say, has closed its descriptors.
        """
        try:
            if not self._listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError(errno.EBADF, "nothing listens")
            self._listener.setblocking(False)
            for fd in (self._listener.fileno(), self._selector.fileno(), self._wake_reader):
                self._poll.register(fd, select.POLLIN)
            while not self._is_stopped:
                try:
                    self._serve_once()
                except OSError:
                    raise
                except Exception as error:
                    # No memory, say: at once it would be the same again.
                    _log_failure(error, "the Python shell over TCP rests and goes on")
                    time.sleep(_PAUSE)
        finally:
            if not self._is_stopped:
                _lost.append(self)
        for connection in list(self._connections):
            connection.hang_up()
            self._drop(connection)
        for client in list(self._leaving):
            self._forget(client)
        self._selector.close()
        self._listener.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _serve_once(self) -> None:
        """Waits for something to do and does it."""
        deadlines = [connection.deadline for connection in self._waiting if connection.deadline is not None]
        deadlines += [client.deadline for client in self._leaving]
        if self._pause_end is not None:
            deadlines.append(self._pause_end)
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        touched: set[_Connection] = set()
        ready = dict(self._poll.poll(None if timeout is None else math.ceil(timeout * 1000)))
        is_lost = any(events & ~select.POLLIN for events in ready.values())
        if is_lost or (self._wake_reader in ready and not self._is_stopped):
            # They are closed, or what has their numbers now is none of ours.
            raise OSError(errno.EBADF, "the server's descriptors are others' now")
        if self._listener.fileno() in ready:
            touched |= self._accept()
        for key, events in self._selector.select(0) if self._selector.fileno() in ready else ():
            if isinstance(key.data, _Leaving):
                if key.data.is_gone():
                    self._forget(key.data)
            else:
                connection: _Connection = key.data
                touched.add(connection)
                with self._responsible_for(connection):
                    self._move(connection, key.fileobj is connection.socket, events)
        now = time.monotonic()
        if self._pause_end is not None and self._pause_end <= now:
            self._pause_end = None
            self._poll.register(self._listener, select.POLLIN)
        for client in [client for client in self._leaving if client.deadline <= now]:
            self._forget(client)
        for connection in self._waiting:
            if connection.deadline is not None and connection.deadline <= now:
                touched.add(connection)
                with self._responsible_for(connection):
                    connection.expire()
        for connection in touched:
            if connection.deadline is None:
                self._waiting.discard(connection)
            else:
                self._waiting.add(connection)
            if connection.is_over:
                self._drop(connection)
            else:
                self._watch(connection.socket, connection.wanted_of_socket(), connection)
                self._watch(connection.terminal, connection.wanted_of_terminal(), connection)

    @contextmanager
    def _responsible_for(self, connection: _Connection) -> Iterator[None]:
        """Has an error in what is done for a connection end that connection, and no other."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            _log_failure(error, f"{connection.name} has to end")
            connection.hang_up()

    def _move(self, connection: _Connection, is_socket: bool, events: int) -> None:
        if events & selectors.EVENT_READ:
            connection.receive() if is_socket else connection.read_terminal()
        if events & selectors.EVENT_WRITE:
            connection.feed_socket() if is_socket else connection.feed_terminal()
        if connection.is_to_begin_again:
            self._watch(connection.terminal, 0, connection)
            connection.begin_again()

    def _accept(self) -> set[_Connection]:
        """Takes the next client, or sends it away; returns its connection."""
        try:
            client, address = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):
                raise
            if error.errno in _SHORTAGES:
                # The client waits in line; to look again at once would find the same.
                self._poll.unregister(self._listener)
                self._pause_end = time.monotonic() + _PAUSE
            # Otherwise it has gone again.
            return set()
        client.setblocking(False)
        refusal = self._refusal(address[0])
        if refusal is None:
            self._count += 1
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = _Connection(client, f"tcp-{self._count}", self._serve, self._access)
            except OSError as error:
                refusal = f"PythonOS: no terminal for another session: {error.strerror}"
            else:
                self._connections.add(connection)
                return {connection}
        self._let_go(client, f"{refusal}\r\n".encode())
        return set()

    def _let_go(self, client: socket.socket, line: bytes) -> None:
        """Ends a connection that has no session; `line` says why."""
        leaving = _Leaving(client, line)
        if len(self._leaving) >= LIMIT:
            client.close()
            return
        self._leaving.add(leaving)
        self._selector.register(client, selectors.EVENT_READ, leaving)

    def _forget(self, client: _Leaving) -> None:
        self._selector.unregister(client.socket)
        self._leaving.discard(client)
        client.socket.close()

    def _refusal(self, address: str) -> str | None:
        """Returns why the next client is sent away; None if it is not."""
        if len(self._connections) >= self._limit:
            return f"PythonOS: {self._limit} sessions are open, which is the most; try again when one has ended"
        strangers = sum(connection.is_stranger for connection in self._connections)
        if strangers >= STRANGERS:
            return "PythonOS: too many have not given the token yet; try again later"
        return self._access.refusal(address)

    def _watch(self, what: socket.socket | int, events: int, connection: _Connection) -> None:
        """Has the selector look for these events, and no others."""
        known = self._selector.get_map().get(what)
        if known is None:
            if events:
                self._selector.register(what, events, connection)
        elif not events:
            self._selector.unregister(what)
        elif known.events != events:
            self._selector.modify(what, events, connection)

    def _drop(self, connection: _Connection) -> None:
        self._watch(connection.socket, 0, connection)
        self._watch(connection.terminal, 0, connection)
        self._waiting.discard(connection)
        self._connections.discard(connection)
        connection.close_terminal()
        if connection.was_sent_away:
            self._let_go(connection.socket, b"")
        else:
            connection.socket.close()
