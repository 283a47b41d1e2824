"""Reads, writes and calls any address, in pure Python, to try the machine's memory protection.

CPython's bytecode names constants by index and does not check it. A function whose
code names an index far behind its constants makes the interpreter take whatever lies
there for an object. Here that is the address of bytes in which an object was written
by hand: a bytearray over memory of our choice, or a built-in function with a chosen
entry point. Nothing that ought to keep its memory may import this module.
"""

from __future__ import annotations

import os
import struct
import sysconfig
import types
from collections.abc import Callable
from typing import Any

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
#: Where the bytes of a `bytes` object begin: header, length, hash.
BYTES_DATA = (32 if FREE_THREADED else 16) + 16
#: Where the items of a tuple begin.
TUPLE_ITEMS = tuple.__basicsize__
IMMORTAL = 0xC000_0000

_keep_alive: list[object] = []


def header(kind: type) -> bytes:
    """Returns the first words of an immortal object of type `kind` (`struct _object`)."""
    if FREE_THREADED:
        # ob_tid, ob_flags, ob_mutex, ob_gc_bits, ob_ref_local, ob_ref_shared, ob_type
        return struct.pack("<QHBBIqQ", 0, 0, 0, 0, 0xFFFF_FFFF, 0, id(kind))
    return struct.pack("<QQ", IMMORTAL, id(kind))


def address_of_data(data: bytes) -> int:
    """Returns where the bytes of `data` are in memory."""
    _keep_alive.append(data)
    return id(data) + BYTES_DATA


def object_at(address: int) -> Any:
    """Returns the object whose header is at `address`."""
    import dis

    def template() -> object:
        return "constant"

    code = template.__code__
    pointer = struct.pack("<Q", address)
    # The index counts upwards only, so pointers are made until one lies above the constants.
    for _ in range(100_000):
        place = address_of_data(bytes(pointer))
        constants = (template, "constant")
        distance = place - (id(constants) + TUPLE_ITEMS)
        if distance > 0 and distance % 8 == 0 and distance // 8 < 1 << 32:
            break
        _keep_alive.append(constants)
        pointer = pointer + b"\0"
    else:
        raise RuntimeError("no bytes object lies above the constants")
    _keep_alive.append(constants)
    index = distance // 8
    load, ret, resume = (dis.opmap[name] for name in ("LOAD_CONST", "RETURN_VALUE", "RESUME"))
    extended = dis.opmap["EXTENDED_ARG"]
    text = bytes([resume, 0])
    for shift in (24, 16, 8):
        text += bytes([extended, index >> shift & 0xFF])
    text += bytes([load, index & 0xFF, ret, 0])
    forged = types.FunctionType(code.replace(co_code=text, co_consts=constants), {})
    return forged()


def memory(address: int, length: int) -> bytearray:
    """Returns a bytearray over `length` bytes of memory at `address`."""
    # PyByteArrayObject: ob_size, ob_alloc, ob_bytes, ob_start, ob_exports
    fake = header(bytearray) + struct.pack("<qqQQq", length, length + 1, address, address, 0)
    found = object_at(address_of_data(fake))
    assert type(found) is bytearray
    return found


def function(address: int) -> Callable[[], object]:
    """Returns a built-in function without arguments whose machine code is at `address`."""
    METH_NOARGS = 4
    name = address_of_data(b"forged\0")
    # PyMethodDef: ml_name, ml_meth, ml_flags, ml_doc
    definition = address_of_data(struct.pack("<QQQQ", name, address, METH_NOARGS, 0))
    # PyCFunctionObject: m_ml, m_self, m_module, m_weakreflist, vectorcall
    fake = header(types.BuiltinFunctionType) + struct.pack("<QQQQQ", definition, 0, 0, 0, address)
    found: Callable[[], object] = object_at(address_of_data(fake))
    assert isinstance(found, types.BuiltinFunctionType)
    return found


def mappings(permissions: str) -> list[tuple[int, int]]:
    """Returns the bounds of the mappings in /proc/self/maps that have these permissions, as `r-xp`."""
    found = []
    with open("/proc/self/maps", encoding="utf-8") as lines:
        for line in lines:
            bounds, found_permissions = line.split()[:2]
            if found_permissions == permissions:
                start, _, end = bounds.partition("-")
                found.append((int(start, 16), int(end, 16)))
    return found


def attempt(what: str) -> str:
    """Does what memory protection forbids; returns only if nothing stopped it."""
    if what == "write text":
        target = memory(mappings("r-xp")[0][0], 16)
        target[0] = target[0]
    elif what == "write read-only data":
        target = memory(mappings("r--p")[0][0], 16)
        target[0] = target[0]
    elif what == "call data":
        returns = {"x86_64": b"\xc3", "aarch64": b"\xc0\x03\x5f\xd6"}
        function(address_of_data(returns[os.uname().machine] * 16))()
    elif what == "read address 0":
        bytes(memory(0, 8))
    elif what == "write address 0":
        memory(0, 8)[0] = 1
    elif what == "call the first page":
        # Not address 0 itself: CPython takes a null pointer there for "not callable".
        function(16)()
    return f"nothing stopped: {what}"
