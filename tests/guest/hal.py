"""What tests/hal asks of a machine: calls of `_hal`, and what comes of them."""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import sys
import threading
from typing import Any

# Wrong arguments are what this is about, so the module has no types here.
_hal: Any = importlib.import_module("_hal")

PAGE = 4096
#: Where nothing is: a hole in what Python maps, the first page, an address that is none, the end.
NOWHERE = (0x123456789000, 0, 0x8000_0000_0000, 0xFFFF_F000_0000_0000, (1 << 64) - 4)


def outcome(name: str, *arguments: Any, **keywords: Any) -> Any:
    """Calls a function of `_hal`; returns its result, or what it raised as text."""
    try:
        result = getattr(_hal, name)(*arguments, **keywords)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return result if isinstance(result, (int, str, bool, list, tuple, type(None))) else type(result).__name__


def constants() -> dict[str, Any]:
    """Returns the numbers and strings of the module."""
    return {name: value for name in dir(_hal) if isinstance(value := getattr(_hal, name), (int, str)) and name.isupper()}


def undocumented() -> list[str]:
    """Returns the functions without a text, or without a signature that Python can read."""
    functions = {name: value for name in dir(_hal) if callable(value := getattr(_hal, name)) and not isinstance(value, type)}
    return [name for name, value in functions.items() if not value.__doc__ or inspect.signature(value) is None]


def wrong_arguments() -> list[str]:
    """Calls every function with wrong arguments of many kinds; returns the calls that raised nothing expected."""
    wrong: list[Any] = ["x", None, 1.5, -1, 1 << 64, 1 << 200, b"abc", [], object(), 0x123456789000, (1 << 64) - 1]
    #: These take none, or write where they are told to: right numbers are not to be tried on them.
    ports = {"outb", "outw", "outl", "inb", "inw", "inl"}
    unexpected = []
    for name in dir(_hal):
        function = getattr(_hal, name)
        if not callable(function) or isinstance(function, type):
            continue
        count = len(inspect.signature(function).parameters)
        for value in wrong:
            if name == "serial_write" and isinstance(value, bytes):
                continue
            for arguments in ([value] * max(count, 1), [value] * (count + 1)):
                if name in ports and arguments == [value] * count and value in range(65536):
                    continue
                try:
                    function(*arguments)
                except (TypeError, ValueError, OSError, BufferError, MemoryError):
                    continue
                except Exception as error:
                    unexpected.append(f"{name}({arguments}): {error!r}")
                else:
                    if name not in ("invlpg", "page_entry", "buf_addr", "frames_free"):
                        unexpected.append(f"{name}({arguments}) returned")
    return unexpected


def memory_by_address() -> list[Any]:
    """Writes and reads a bytearray by address, and tries addresses where nothing is."""
    data = bytearray(64)
    start = _hal.buf_addr(data)
    aligned = (start + 3) & ~3
    _hal.mmio_write32(aligned, 0x11223344)
    _hal.mmio_write8(aligned + 4, 0x55)
    seen = data[aligned - start : aligned - start + 5].hex()
    back = [_hal.mmio_read32(aligned), _hal.mmio_read8(aligned + 4)]
    _hal.mmio_fill32(aligned, 0xA5A5A5A5, 3)
    filled = data[aligned - start : aligned - start + 13].hex()
    _hal.mmio_write_buf32(aligned, b"abcdefgh")
    copied = bytes(data[aligned - start : aligned - start + 8])
    _hal.buf_fill32(data, 0x01010101)
    _hal.buf_fill32_at(data, 4, 0x02020202, 2)
    return [seen, back, filled, copied.decode(), data[:16].hex()]


def wrong_addresses() -> list[str]:
    """Tries every access at every address where nothing is; returns those that raised no OSError."""
    accesses = {
        "mmio_read8": (), "mmio_read32": (), "mmio_write8": (1,), "mmio_write32": (1,), "mmio_fill32": (1, 2),
        "mmio_write_buf32": (b"1234",),
    }  # fmt: skip
    bad = []
    for name, rest in accesses.items():
        for address in NOWHERE:
            try:
                getattr(_hal, name)(address & ~3, *rest)
            except OSError:
                continue
            except ValueError:
                if name in ("mmio_fill32", "mmio_write_buf32"):
                    continue  # it runs past the last address
            bad.append(f"{name}({address:#x})")
    return bad


def kernel_memory() -> list[str]:
    """Reads the kernel's own memory and tries to write it."""
    code = _hal.page_entry(KERNEL_TEXT[_hal.ARCH])
    result = [outcome("mmio_write32", KERNEL_TEXT[_hal.ARCH], 0), outcome("mmio_write8", DIRECT_MAP, 0)]
    assert code is not None and code[1] & _hal.PAGE_WRITE == 0, code
    assert isinstance(_hal.mmio_read32(KERNEL_TEXT[_hal.ARCH]), int)
    return result


#: The image's first page, and where the kernel sees all memory (docs/memory-map.md).
KERNEL_TEXT = {"x86_64": 0x20_0000, "aarch64": 0x20_0000}
DIRECT_MAP = 0xFFFF_8000_0000_0000


def dma_in_a_loop(count: int) -> list[int]:
    """Takes and drops DMA buffers of many sizes; returns the free frames before and after."""
    _hal.dma_alloc(1)
    gc.collect()
    before = _hal.frame_stats()[1]
    for number in range(count):
        buffer = _hal.dma_alloc(1 + number % 20000, 1 << (number % 3 + 12))
        assert buffer.phys % (1 << (number % 3 + 12)) == 0
        if number % 2:
            _hal.dma_free(buffer)
    del buffer
    gc.collect()
    return [before, _hal.frame_stats()[1]]


def dma_buffer() -> list[Any]:
    """Follows one DMA buffer from its making to its end."""
    buffer = _hal.dma_alloc(10000, 65536)
    view = memoryview(buffer)
    result: list[Any] = [buffer.size, len(view), buffer.phys % 65536, view[:10000].tobytes() == bytes(10000)]
    view[:4] = b"abcd"
    result.append(_hal.page_entry(_hal.buf_addr(buffer))[0] == buffer.phys)
    mapped = _hal.page_map(0, buffer.phys, PAGE, _hal.PAGE_READ)
    result.append(_hal.mmio_read32(mapped) == int.from_bytes(b"abcd", "little"))
    result.append(outcome("dma_free", buffer))
    view.release()
    result += [outcome("dma_free", buffer), outcome("dma_free", buffer), outcome("buf_addr", buffer)]
    # Mapped frames stay until they are unmapped.
    result.append(_hal.mmio_read32(mapped) == int.from_bytes(b"abcd", "little"))
    _hal.page_unmap(mapped, PAGE)
    result.append(outcome("mmio_read32", mapped))
    return result


def dma_by_threads(threads: int, rounds: int) -> list[int]:
    """Has threads share buffers: each is freed by exactly one of them. Returns the frees, and the frames lost."""
    gc.collect()
    before = _hal.frame_stats()[1]
    freed = [0] * threads
    barrier = threading.Barrier(threads)
    buffers = [_hal.dma_alloc(PAGE) for _ in range(rounds)]

    def work(number: int) -> None:
        barrier.wait()
        for buffer in buffers:
            try:
                with memoryview(buffer) as view:
                    view[number] = 1
            except BufferError:
                pass
            try:
                _hal.dma_free(buffer)
            except (ValueError, BufferError):
                continue
            freed[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # One that somebody looked at each time another wanted to free it is freed by nobody above.
    rest = sum(outcome("dma_free", buffer) is None for buffer in buffers)
    buffers.clear()
    return [sum(freed) + rest, before - _hal.frame_stats()[1]]


def mapping() -> list[Any]:
    """Maps frames, changes their rights, unmaps them; the page tables and the memory agree at each step."""
    frames = _hal.frames_alloc(4, 4)
    place = _hal.page_map(0, frames, 4 * PAGE, _hal.PAGE_READ | _hal.PAGE_WRITE)
    result: list[Any] = [frames % (4 * PAGE)]
    for page in range(4):
        _hal.mmio_write32(place + page * PAGE, page)
        assert _hal.page_entry(place + page * PAGE + 8) == (frames + page * PAGE, 3)
    _hal.page_protect(place + PAGE, PAGE, _hal.PAGE_READ)
    result += [_hal.page_entry(place + PAGE)[1], outcome("mmio_write32", place + PAGE, 9), _hal.mmio_read32(place + PAGE)]
    result += [outcome("page_map", place, frames, PAGE, 1), outcome("page_map", 0, frames + 4 * PAGE, PAGE, 1)]
    _hal.page_unmap(place, PAGE)
    result += [_hal.page_entry(place), outcome("mmio_read32", place), outcome("page_unmap", place, PAGE)]
    result += [outcome("page_unmap", _hal.buf_addr(bytearray(2 * PAGE)) & -PAGE, PAGE)]
    result += [outcome("frames_free", frames, 3), outcome("frames_free", frames, 4), outcome("frames_free", frames, 4)]
    _hal.page_unmap(place + PAGE, 3 * PAGE)
    return result


def threads_seen() -> list[Any]:
    """Lists the threads while one sleeps and one computes."""
    stop = threading.Event()
    asleep = threading.Thread(target=stop.wait, name="asleep")
    asleep.start()
    busy = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)], name="busy")
    busy.start()
    rows = {row[1]: row for row in _hal.threads()}
    for _ in range(1000):
        if rows.get("asleep", ("",) * 3)[2] == "waiting" and "busy" in rows:
            break
        rows = {row[1]: row for row in _hal.threads()}
    stop.set()
    asleep.join()
    busy.join()
    ids = [rows["asleep"][0] == asleep.native_id, rows["busy"][0] == busy.native_id]
    return [ids, rows["asleep"][2], rows["busy"][2] in ("running", "ready"), len(rows["busy"])]


def log_lines(text: str) -> list[str]:
    """Logs a text; returns the records of the kernel log that hold it, without their numbers."""
    _hal.log(_hal.LOG_WARN, "kernel.test", text)
    found = []
    log = os.open("/proc/kmsg", os.O_RDONLY)
    try:
        while True:
            level, rest = os.read(log, 4096).decode().split(",", 1)
            if "kernel.test" in rest:
                found.append(f"{level}: {rest.split(';', 1)[1]}")
    except BlockingIOError:
        return found
    finally:
        os.close(log)


def gil_is_enabled() -> bool:
    """Tells whether the interpreter runs with the GIL now."""
    return sys._is_gil_enabled()  # type: ignore
