"""File systems written in Python, as everybody else on the machine sees them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kernel.fs import Attributes, DictFileSystem, FileSystem, mount

MOUNT = "/tmp/served"


def numbers(*calls: Callable[[], object]) -> list[int | None]:
    """Returns the error number of each call."""
    found: list[int | None] = []
    for call in calls:
        try:
            call()
            found.append(None)
        except OSError as error:
            found.append(error.errno)
    return found


def serve_a_dictionary(word: str) -> dict[str, object]:
    """Uses a mounted dictionary by everyday means."""
    os.makedirs(MOUNT, exist_ok=True)
    Path(MOUNT, "below").write_text("covered")
    files: dict[str, object] = {"word": word, "d": {"inner": b"1"}}
    here = os.getcwd()
    with mount(MOUNT, DictFileSystem(files)):
        root = Path(MOUNT)
        found: dict[str, object] = {
            "listed": sorted(os.listdir(MOUNT)),
            "walked": sorted(str(path.relative_to(root)) for path in root.rglob("*")),
            "read": (root / "word").read_text(),
            "mounts": [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()][-1],
        }
        os.chdir(root / "d")
        found["cwd"] = os.getcwd()
        with open("new", "w") as file:
            file.write("x" * 300_000)
        with open("new", "a") as file:
            file.write("end")
        os.rename("new", "../moved")
        os.chdir("..")
        found["up"] = sorted(os.listdir())
        found["size"] = os.stat("moved").st_size
        found["tail"] = Path("moved").read_text()[-5:]
        shutil.copytree("d", "copy")
        shutil.copy("word", "copy/again")
        found["kept"] = {name: type(value).__name__ for name, value in sorted(files.items())}
        found["copied"] = (root / "copy" / "again").read_text()
        found["same"] = os.path.samefile("word", f"{MOUNT}/word")
        found["errors"] = numbers(
            lambda: os.stat("nope"),
            lambda: os.mkdir("d"),
            lambda: os.rmdir("d"),
            lambda: os.unlink("d"),
            lambda: os.symlink("word", "link"),
            lambda: os.rename("word", "/tmp/elsewhere"),
            lambda: mount("/tmp/served/d/inner", FileSystem()),
            lambda: mount("/tmp/nowhere", FileSystem()),
        )
        shutil.rmtree("copy")
        os.unlink("moved")
        found["left"] = sorted(files)
        stale = open("word")  # noqa: SIM115  (it outlives the mount)
        os.chdir(here)
    found["stale"] = numbers(stale.read, stale.close)
    found["after"] = os.listdir(MOUNT)
    with mount(MOUNT, DictFileSystem({"second": b""})):
        found["again"] = os.listdir(MOUNT)
        found["covered"] = numbers(lambda: mount(MOUNT, DictFileSystem()))
    shutil.rmtree(MOUNT)
    return found


class Slow(FileSystem):
    """Has one file that nobody should read."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def stat(self, path: str) -> Attributes:
        """Knows one name."""
        if not path:
            return Attributes.directory()
        if path == "slow":
            return Attributes.file(10)
        raise FileNotFoundError(errno.ENOENT, "no such file")

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Takes its time."""
        self.release.wait(60)
        return b""


def wait_for_a_slow_one() -> dict[str, object]:
    """Reads what is not answered: time-out, signal, end of the file system."""
    os.makedirs(MOUNT, exist_ok=True)
    found: dict[str, object] = {}
    slow = Slow()
    with mount(MOUNT, slow, timeout=0.2):
        began = time.monotonic()
        found["timed out"] = numbers(lambda: Path(MOUNT, "slow").read_bytes())
        found["waited"] = 0.2 <= time.monotonic() - began < 20
        slow.release.set()

    def interrupt(signum: int, frame: object) -> None:
        raise InterruptedError(errno.EINTR, "by the test")

    slow = Slow()
    old = signal.signal(signal.SIGALRM, interrupt)
    with mount(MOUNT, slow, threads=2):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        began = time.monotonic()
        found["interrupted"] = numbers(lambda: Path(MOUNT, "slow").read_bytes())
        found["at once"] = time.monotonic() - began < 20
        found["others go on"] = os.stat(f"{MOUNT}/slow").st_size
        slow.release.set()
    signal.signal(signal.SIGALRM, old)
    os.rmdir(MOUNT)
    return found


def read_from_many_threads(count: int) -> list[object]:
    """Has threads read and write files of one mount at the same time; returns what went wrong."""
    os.makedirs(MOUNT, exist_ok=True)
    wrong: list[object] = []

    def work(number: int) -> None:
        path = Path(MOUNT, f"file{number}")
        for turn in range(20):
            text = f"{number} {turn} " * 50
            path.write_text(text)
            if (found := path.read_text()) != text:
                wrong.append([number, turn, found])

    with mount(MOUNT, DictFileSystem(), threads=4):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(os.listdir(MOUNT)) != count:
            wrong.append(os.listdir(MOUNT))
    os.rmdir(MOUNT)
    return wrong
