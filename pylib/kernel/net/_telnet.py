"""The server's side of telnet (RFC 854), as far as a Python prompt needs it.

What a client may offer is its window's size (NAWS, RFC 1073) and its terminal's type (RFC 1091); what
it may ask for is that the server echoes (RFC 857) and that nobody says "go ahead" (RFC 858). All else
is refused.
"""

import re
from typing import Final

IAC: Final = 255
_DONT, _DO, _WONT, _WILL, _SB, _INTERRUPT, _BREAK, _SE = 254, 253, 252, 251, 250, 244, 243, 240
_ECHO, _SUPPRESS_GO_AHEAD, _TERMINAL_TYPE, _WINDOW_SIZE = 1, 3, 24, 31
_IS, _SEND = b"\0", b"\1"

#: What we do if asked to, and what we let the client do.
_OURS: Final = frozenset({_ECHO, _SUPPRESS_GO_AHEAD})
_THEIRS: Final = frozenset({_SUPPRESS_GO_AHEAD, _TERMINAL_TYPE, _WINDOW_SIZE})

#: A return as a terminal's, or a line's end as a text's, travels.
_RETURN: Final = re.compile(rb"\r[\n\0]")

#: The longest option that is taken in.
_LONGEST: Final = 64


class Telnet:
    """Takes the commands out of what one client sends.

    One that speaks no telnet sends none: no text contains the byte that they begin with.
    `replies` collects what is to be sent back. `size` is the window's, columns and lines, once the
    client has told it; `terminal` its terminal's type, as in `$TERM`.
    """

    def __init__(self) -> None:
        #: The client has sent a command.
        self.is_spoken = False
        self.replies = bytearray()
        self.size: tuple[int, int] | None = None
        self.terminal: str | None = None
        self._agreed: set[tuple[int, int]] = set()
        self._has_asked_terminal = False
        # What has come of a command that is not complete.
        self._pending = bytearray()
        self._after_return = False

    def receive(self, data: bytes) -> bytes:
        """Returns what the user typed, of bytes that have arrived."""
        typed = bytearray()
        at = 0
        while at < len(data):
            if self._pending:
                self._pending.append(data[at])
                self._look(typed)
                at += 1
                continue
            end = data.find(IAC, at)
            text, at = (data[at:], len(data)) if end < 0 else (data[at:end], end + 1)
            if text:
                typed += self._take_text(text)
            if end >= 0:
                self.is_spoken = True
                self._pending.append(IAC)
        return bytes(typed)

    def _take_text(self, text: bytes) -> bytes:
        """Returns text with one byte for each return, which comes as two."""
        if self._after_return and text[0] in b"\n\0":
            # The first has been passed on.
            text = text[1:]
        self._after_return = text.endswith(b"\r")
        return _RETURN.sub(b"\r", text)

    def quote(self, data: bytes) -> bytes:
        """Returns output as it travels."""
        return data.replace(b"\xff", b"\xff\xff") if self.is_spoken else data

    @property
    def echoes(self) -> bool:
        """Whether the client relies on us to show what is typed."""
        return (_WILL, _ECHO) in self._agreed

    @property
    def is_to_say_more(self) -> bool:
        """Whether the client has agreed to tell something that has not come yet."""
        wants_terminal = self.terminal is None and (_DO, _TERMINAL_TYPE) in self._agreed
        return wants_terminal or (self.size is None and (_DO, _WINDOW_SIZE) in self._agreed)

    def offer(self) -> None:
        """Offers and asks for all that makes a prompt with an editor, but for what has been agreed."""
        for command, options in ((_WILL, (_ECHO, _SUPPRESS_GO_AHEAD)), (_DO, (_TERMINAL_TYPE, _WINDOW_SIZE))):
            for option in options:
                if (command, option) not in self._agreed:
                    # A refusal will take it back.
                    self._agreed.add((command, option))
                    self.replies += bytes([IAC, command, option])

    def _look(self, typed: bytearray) -> None:
        """Acts on the command in `_pending` if it is complete."""
        pending = self._pending
        command = pending[1]
        if command == _SB:
            self._look_at_option()
        elif command in (_DO, _DONT, _WILL, _WONT):
            if len(pending) == 3:
                self._negotiate(command, pending[2])
                pending.clear()
        else:
            if command == IAC:
                typed.append(IAC)
            elif command in (_INTERRUPT, _BREAK):
                typed += b"\x03"
            pending.clear()

    def _look_at_option(self) -> None:
        """Acts on the option in `_pending` if it is complete; it ends with IAC SE, and IAC in it comes twice."""
        pending = self._pending
        if len(pending) > _LONGEST:
            pending.clear()
            return
        text = bytes(pending[2:]).replace(b"\xff\xff", b"\0")
        if text.endswith(bytes([IAC, _SE])):
            self._take_option(bytes(pending[2:-2]).replace(b"\xff\xff", b"\xff"))
            pending.clear()

    def _negotiate(self, command: int, option: int) -> None:
        yes, no, known = (_WILL, _WONT, _OURS) if command in (_DO, _DONT) else (_DO, _DONT, _THEIRS)
        answer = yes if command in (_DO, _WILL) and option in known else no
        # Only a change is answered: two that answer everything would never end.
        is_agreed = (yes, option) in self._agreed
        if answer == yes:
            self._agreed.add((yes, option))
        elif is_agreed:
            self._agreed.discard((yes, option))
        if is_agreed != (answer == yes) or (answer == no and command in (_DO, _WILL)):
            self.replies += bytes([IAC, answer, option])
        if command == _WILL and option == _TERMINAL_TYPE and not self._has_asked_terminal:
            self._has_asked_terminal = True
            self.replies += bytes([IAC, _SB, _TERMINAL_TYPE]) + _SEND + bytes([IAC, _SE])

    def _take_option(self, option: bytes) -> None:
        match option[:1], option[1:]:
            case b"\x1f", size if len(size) == 4:
                columns, lines = int.from_bytes(size[:2]), int.from_bytes(size[2:])
                if columns and lines:
                    self.size = columns, lines
            case b"\x18", kind if kind.startswith(_IS):
                name = kind[1:].decode("ascii", "replace").lower()
                if name and all(letter.isalnum() or letter in "+-._" for letter in name):
                    self.terminal = name
