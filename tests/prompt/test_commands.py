"""Commands typed at the prompt of the console, with everything that they print."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from harness.machines import Machines, Shape
from harness.serial import Prompt

NOT_THERE = "No such file or directory"


@pytest.fixture(scope="module")
def prompt(machines: Machines) -> Iterator[Prompt]:
    """One machine at its prompt."""
    with machines.prompt(Shape()) as running:
        yield running


# One after the other in one session, each with its exact output.
LINES = [
    ("cd", ""),
    ("pwd", "/\n"),
    ("ls", "bin/\ndev/\netc/\nexamples/\nhome/\ninclude/\nlib/\nproc/\nsys/\ntests/\ntmp/\nusr/\n"),
    ("mkdir /tmp/room", ""),
    ("cd /tmp/room", ""),
    ("pwd", "/tmp/room\n"),
    ("cwd", "'/tmp/room'\n"),
    ("open('notes', 'w').write('one\\ntwo\\nthree\\n')", "14\n"),
    ("cat notes", "one\ntwo\nthree\n"),
    ("cp notes copy", ""),
    ("mv copy 'a name'", ""),
    ("ls", "a name\nnotes\n"),
    ("head -n 1 notes", "one\n"),
    ("tail -n 1 notes", "three\n"),
    ("grep -n t notes", "2:two\n3:three\n"),
    ("find .", ".\n./a name\n./notes\n"),
    ("touch new", ""),
    ("rm new 'a name'", ""),
    ("mkdir d", ""),
    ("ls", "d/\nnotes\n"),
    ("rmdir d", ""),
    ("wc notes", "      3       3      14 notes\n"),
    ("sh('wc -l < notes')", "      3\n"),
    ("echo one  'two  three'", "one two  three\n"),
    ("echo -n x", "x"),
    ("mkdir d", ""),
    ("cp notes d", ""),
    ("cp -r d e", ""),
    ("mv d/notes d/other", ""),
    ("mv d e", ""),
    ("find e", "e\ne/d\ne/d/other\ne/notes\n"),
    ("rm -r e", ""),
    ("cp d x", f"cp: d: {NOT_THERE}\n"),
    ("mv d x", f"mv: d: {NOT_THERE}\n"),
    ("date +%%", "%\n"),
    ("clear", "\x1b[H\x1b[2J\x1b[3J"),
    ("cat nope", f"cat: nope: {NOT_THERE}\n"),
    ("cd nope", f"cd: nope: {NOT_THERE}\n"),
    ("rm /tmp", "rm: /tmp: Is a directory\n"),
    ("kill 999999999", "kill: 999999999: No such thread\n"),
    ("sh('cat notes | grep -c o')", "2\n"),
    ("sh('/examples/primes.py 30 | tail -n 1')", "10 primes up to 30\n"),
    ("run('/examples/primes.py', '30')", "2 3 5 7 11 13 17 19 23 29\n10 primes up to 30\n"),
    ("ls = 5", ""),
    ("ls", "5\n"),
    ("del ls", ""),
    ("ls", "notes\n"),
    # A session outlives its directory.
    ("rm -r /tmp/room", ""),
    ("cwd", "''\n"),
    ("pwd", f"pwd: {NOT_THERE}\n"),
    ("sh('echo > file')", f"sh: file: {NOT_THERE}\n"),
    ("cd", ""),
    ("cwd", "'/'\n"),
]

# What they print of the machine, as a pattern.
PATTERNS = [
    (
        "df",
        r"TYPE        1K-BLOCKS       USED       FREE USE% MOUNTED ON\n"
        r"tmpfs      [ \d]{10} [ \d]{10} [ \d]{10} [ \d]{2}\d% /\n"
        r"devtmpfs   [ \d]{10}          0 [ \d]{10}   0% /dev\n"
        r"proc                0          0          0    - /proc\nsysfs               0          0          0    - /sys\n",
    ),
    (
        "free",
        r"              total        used        free   available\nMem:   ( [ \d]{10}\d){4}\n",
    ),
    ("uptime", r"\d\d:\d\d:\d\d up 0:\d\d:\d\d, \d+ threads, load average: \d+\.\d\d, \d+\.\d\d, \d+\.\d\d\n"),
    ("date", r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d UTC 20\d\d\n"),
    ("ps", r"    ID NAME             STATE    CPU       TIME\n(?:[ \d]{6} .{16} [a-z ]{8} [ \d]{3} [ \d]{6}\.\d{3}\n)+"),
    (
        "sysinfo",
        r"PythonOS\nCPUs: 2/2 online\nGIL: (?:en|dis)abled\nScheduler: \d+ tasks\nMemory: \d+ MiB free of \d+ MiB\n"
        r"Uptime: 0:\d\d:\d\d\ncwd: /\n",
    ),
]


def test_commands_print_what_users_are_told(prompt: Prompt) -> None:
    found = [(line, prompt.output(line)) for line, _ in LINES]
    assert found == LINES


def test_what_commands_print_of_the_machine(prompt: Prompt) -> None:
    prompt.run("cd")
    found = [(prompt.output(line), pattern) for line, pattern in PATTERNS]
    assert [text for text, pattern in found if not re.fullmatch(pattern, text)] == []


def test_ed_is_a_conversation(prompt: Prompt) -> None:
    word = secrets.token_hex(8)
    prompt.run("cd /tmp")
    prompt.type_line("ed -p : talk")
    prompt.expect(r"talk: No such file or directory\r*\n\?\r*\n:", 20)
    for line in ("a", word, "."):
        prompt.type_line(line)
    prompt.expect(":", 20)
    prompt.type_line("s/^/first /p")
    prompt.expect(rf"\nfirst {word}\r*\n:", 20)
    prompt.type_line("q")
    prompt.expect(r"\n\?\r*\n:", 20)
    prompt.type_line("w")
    prompt.expect(r"\n23\r*\n:", 20)
    prompt.run("q")
    assert prompt.output("cat talk") == f"first {word}\n"


def test_top_is_live_and_q_quits(prompt: Prompt) -> None:
    prompt.skip()
    prompt.type_line("top -d 0.2")
    for _ in range(3):
        prompt.expect(r"CPU0  \[[# ]{30}\] +\d+%", 30)
        prompt.expect(r"CPU1  \[[# ]{30}\] +\d+%", 30)
    prompt.send("q")
    prompt.wait_for_prompt(20)
    assert prompt.output("echo 'still here'") == "still here\n"


def test_log_memory_and_devices_are_live_objects(prompt: Prompt) -> None:
    word = secrets.token_hex(8)
    prompt.run(f"log.warn('{word}')")
    assert prompt.output("dmesg -n 1").endswith(f"[PythonOS] WARN user: {word}\n")
    assert prompt.output("frames = kernel.memory.pmm.alloc(3); kernel.memory.pmm.free(frames, 3)") == ""
    assert prompt.output("len(pci) > 1, len(pci.find_by_class(6)) > 0") == "(True, True)\n"
    assert prompt.output("await vfs.readdir('/examples/..') == sorted(__import__('os').listdir('/'))") == "True\n"
    assert prompt.output("[cpu.is_online for cpu in scheduler.cpus()]") == "[True, True]\n"
