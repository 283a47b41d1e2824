"""File systems written in Python: `open()` and everybody else sees them."""

from __future__ import annotations

import errno
import secrets

from harness.serial import Guest


def test_a_dictionary_is_served(guest: Guest) -> None:
    word = secrets.token_hex(8)
    found = guest.call("userfs.serve_a_dictionary", word)
    assert found == {
        "listed": ["d", "word"],
        "walked": ["d", "d/inner", "word"],
        "read": word,
        "mounts": ["/tmp/served", "userfs"],
        "cwd": "/tmp/served/d",
        "up": ["d", "moved", "word"],
        "size": 300_003,
        "tail": "xxend",
        "kept": {"copy": "dict", "d": "dict", "moved": "bytes", "word": "str"},
        "copied": word,
        "same": True,
        "errors": [
            errno.ENOENT,
            errno.EEXIST,
            errno.ENOTEMPTY,
            errno.EISDIR,
            errno.EPERM,
            errno.EXDEV,
            errno.ENOTDIR,
            errno.ENOENT,
        ],
        "left": ["d", "word"],
        "stale": [errno.ENOTCONN, None],
        "after": ["below"],
        "again": ["second"],
        "covered": [errno.EBUSY],
    }


def test_an_answer_that_does_not_come_is_not_waited_for_ever(guest: Guest) -> None:
    assert guest.call("userfs.wait_for_a_slow_one") == {
        "timed out": [errno.ETIMEDOUT],
        "waited": True,
        "interrupted": [errno.EINTR],
        "at once": True,
        "others go on": 10,
    }


def test_threads_use_one_mount_at_the_same_time(guest: Guest) -> None:
    assert guest.call("userfs.read_from_many_threads", 8) == []
