"""What tests/hal asks of a machine: calls of `_hal`, and what comes of them."""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import sys
import threading
import time
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
            if name in ("set_interrupt_router", "set_event_loop") and value is None:
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
    # With the GIL it waits for its turn with that, too.
    states = ("running", "ready", "waiting") if gil_is_enabled() else ("running", "ready")
    return [ids, rows["asleep"][2], rows["busy"][2] in states, len(rows["busy"])]


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


def timer_events(count: int) -> list[Any]:
    """Has a router see timer interrupts while threads compute and everything stops now and then.

    Returns how many the router saw, how many it was told to be lost, how many the machine took at least and at
    most while they were watched, how many it lost, and the names of the threads that the router ran on.
    """
    seen, names, stop = [0, 0], set(), threading.Event()

    def router(vector: int, cpu: int, time_ns: int, lost: int) -> None:
        seen[0] += 1
        seen[1] += lost
        names.add(threading.get_native_id())

    def compute() -> None:
        value = 1
        while not stop.is_set():
            value = value * 3 % 1000003

    def tick() -> None:
        # First of all threads whenever its time has come: the others are preempted all the time.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        while not stop.is_set():
            time.sleep(0.00002)

    threads = [threading.Thread(target=target) for target in (compute,) * 4 + (tick,) * 2]
    _hal.set_interrupt_router(router)
    for thread in threads:
        thread.start()
    readings = [counts(_hal.VECTOR_TIMER)]
    _hal.interrupt_watch(_hal.VECTOR_TIMER)
    readings.append(counts(_hal.VECTOR_TIMER))
    while sum(seen) < count:
        gc.collect()
        sys.setswitchinterval(0.001)
        time.sleep(0.1)
    readings.append(counts(_hal.VECTOR_TIMER))
    _hal.interrupt_watch(_hal.VECTOR_TIMER, False)
    readings.append(counts(_hal.VECTOR_TIMER))
    stop.set()
    for thread in threads:
        thread.join()
    (first, lost_before), (begin, _), (end, _), (last, lost_after) = readings
    lost = lost_after - lost_before
    # What is in the rings by now reaches the router soon.
    deadline = time.monotonic() + 10
    while seen[0] + lost < end - begin and time.monotonic() < deadline:
        time.sleep(0.01)
    tids = {row[0]: row[1] for row in _hal.threads()}
    _hal.set_interrupt_router(None)
    return [seen[0], seen[1], end - begin, last - first, lost, [tids[tid] for tid in names]]


def counts(vector: int) -> tuple[int, int]:
    """Returns how often a vector has interrupted, and how many events of it were lost."""
    ((per_cpu, lost),) = [row[2:] for row in _hal.interrupts() if row[0] == vector]
    return sum(per_cpu), lost


def undrained() -> list[int]:
    """Lets events overflow without a router; returns those taken at least and at most, drained, lost, told as lost."""
    _hal.set_interrupt_router(None)
    _hal.drain_interrupts()
    first, lost = counts(_hal.VECTOR_TIMER)
    _hal.interrupt_watch(_hal.VECTOR_TIMER)
    begin = counts(_hal.VECTOR_TIMER)[0]
    while counts(_hal.VECTOR_TIMER)[1] == lost:
        time.sleep(0.0001)
    end = counts(_hal.VECTOR_TIMER)[0]
    _hal.interrupt_watch(_hal.VECTOR_TIMER, False)
    last, lost_now = counts(_hal.VECTOR_TIMER)
    drained = _hal.drain_interrupts()
    return [end - begin, last - first, len(drained), lost_now - lost, sum(event[3] for event in drained)]


def failing_router() -> list[Any]:
    """Has a router raise for its first event; the next ones reach it all the same."""
    hook, caught, seen = sys.unraisablehook, [], []

    def router(*event: int) -> None:
        seen.append(event)
        if len(seen) == 1:
            raise KeyError("on purpose")

    sys.unraisablehook = lambda raised: caught.append(type(raised.exc_value).__name__)
    try:
        _hal.set_interrupt_router(router)
        _hal.interrupt_watch(_hal.VECTOR_TIMER)
        while len(seen) < 3:
            time.sleep(0.001)
    finally:
        _hal.interrupt_watch(_hal.VECTOR_TIMER, False)
        _hal.set_interrupt_router(None)
        sys.unraisablehook = hook
    return [caught, len(seen) >= 3]


def watch_console() -> None:
    """Begins to watch the console's interrupts."""
    _hal.set_interrupt_router(None)
    _hal.drain_interrupts()
    _hal.interrupt_watch(_hal.VECTOR_CONSOLE)


def console_events() -> list[bool]:
    """Ends that; tells whether each event is the console's."""
    _hal.interrupt_watch(_hal.VECTOR_CONSOLE, False)
    return [event[0] == _hal.VECTOR_CONSOLE for event in _hal.drain_interrupts()]


#: QEMU's device for teaching: interrupts by a write to RAISE, until ACKNOWLEDGE.
EDU = 0x11E81234
RAISE, ACKNOWLEDGE = 0x60, 0x64


def edu_interrupts(rounds: int, line: int | None) -> list[Any]:
    """Has the edu device interrupt, by messages or by the line `line`; returns the events and what is wrong."""
    (slot,) = [slot for slot in range(32) if _hal.pci_config_read(0, slot, 0, 0, 4) == EDU]
    registers = _hal.pci_config_read(0, slot, 0, 0x10, 4) & ~15
    _hal.pci_config_write(0, slot, 0, 4, 2, _hal.pci_config_read(0, slot, 0, 4, 2) | 6)
    vector = _edu_messages(slot) if line is None else _hal.irq_route("spi", line + (slot + 0) % 4)
    arrived = threading.Semaphore(0)
    events: list[tuple[int, ...]] = []

    def router(*event: int) -> None:
        events.append(event)
        arrived.release()

    _hal.set_interrupt_router(router)
    wrong = []
    for number in range(rounds):
        _hal.mmio_write32(registers + RAISE, 1 << number % 32)
        if not arrived.acquire(timeout=10):
            wrong.append(f"interrupt {number} did not arrive")
        _hal.mmio_write32(registers + ACKNOWLEDGE, 1 << number % 32)
        _hal.irq_unmask(vector)
    _hal.set_interrupt_router(None)
    _hal.vector_free(vector)
    with open("/proc/interrupts") as file:
        name = [line.split()[-1] for line in file if line.split()[0] == f"{vector}:"]
    return [wrong, [event[0] == vector for event in events], name, outcome("vector_free", vector)]


def _edu_messages(slot: int) -> int:
    """Switches the device's MSI on (PCI Local Bus Specification 3.0, 6.8.1); returns the vector."""
    capability = _hal.pci_config_read(0, slot, 0, 0x34, 1)
    while _hal.pci_config_read(0, slot, 0, capability, 1) != 5:
        capability = _hal.pci_config_read(0, slot, 0, capability + 1, 1)
    vector, address, data = _hal.msi_alloc()
    control = _hal.pci_config_read(0, slot, 0, capability + 2, 2)
    has_64_bits = control & 0x80
    _hal.pci_config_write(0, slot, 0, capability + 4, 4, address & 0xFFFFFFFF)
    if has_64_bits:
        _hal.pci_config_write(0, slot, 0, capability + 8, 4, address >> 32)
    _hal.pci_config_write(0, slot, 0, capability + (12 if has_64_bits else 8), 2, data)
    _hal.pci_config_write(0, slot, 0, capability + 2, 2, control | 1)
    return int(vector)


def raised_in_a_thread() -> list[Any]:
    """Raises exceptions in a thread that sleeps, and in none."""
    caught: list[str] = []

    def wait() -> None:
        try:
            time.sleep(100)
        except KeyError as error:
            caught.append(type(error).__name__)

    thread = threading.Thread(target=wait)
    thread.start()
    while {row[0]: row[2] for row in _hal.threads()}.get(thread.native_id) != "waiting":
        time.sleep(0.001)
    begin = time.monotonic()
    _hal.thread_raise(thread.ident, KeyError)
    thread.join()
    quick = time.monotonic() - begin < 10
    return [caught, quick, outcome("thread_raise", 12345, KeyError), outcome("thread_raise", thread.ident, int)]


def proc_threads() -> list[str]:
    """Returns the words of this thread's line in /proc/threads, its numbers left out."""
    with open("/proc/threads") as file:
        (line,) = [line.split() for line in file if int(line.split()[0]) == threading.get_native_id()]
    return [line[1], *line[4:]]
