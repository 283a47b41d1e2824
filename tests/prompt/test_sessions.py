"""Sessions beside that of the console, over pseudo-terminals in the guest."""

from __future__ import annotations

import re

import pytest

from harness.machines import HostWaits, Machines, Shape
from harness.serial import Guest


@pytest.fixture(scope="module")
def guest(machines: Machines) -> Guest:
    """A machine of 2 CPUs."""
    return machines.shared(Shape())


def test_commands_and_python(guest: Guest) -> None:
    shown = guest.call(
        "sessions.talk",
        [
            "mkdir /tmp/talk",
            "cd /tmp/talk",
            "cwd",
            "ls = 5",
            "ls",
            "del ls",
            "touch 'a b' c",
            "ls",
            "sh('ls | grep c > out')",
            "sh('cat < out; echo done >> out; cat out | wc -l')",
            "sh('echo *')",
            "cat /nowhere",
            "nonsense",
            "sh('nonsense')",
            "cwd = '/usr'",
            "pwd",
            "cwd = '/nowhere'",
            "pwd",
        ],
    )
    assert [re.sub(r'  File "<python-input-\d+>", line 1, in <module>\n', "", one) for one in shown] == [
        "",
        "",
        "'/tmp/talk'\n",
        "",
        "5\n",
        "",
        "",
        "a b\nc\n",
        "",
        "c\n      2\n",
        "a b c out\n",
        "cat: /nowhere: No such file or directory\n",
        "Traceback (most recent call last):\n    nonsense\nNameError: name 'nonsense' is not defined\n",
        "nonsense: command not found\n",
        "",
        "/usr\n",
        "cwd: /nowhere: No such file or directory\n",
        "/usr\n",
    ]


def test_await_and_tasks_between_prompts(guest: Guest) -> None:
    shown = guest.call(
        "sessions.talk",
        [
            "import asyncio; count = 0",
            "exec('async def tick():\\n global count\\n while True: count += 1; await asyncio.sleep(0.05)')",
            "task = asyncio.create_task(tick())",
            "await asyncio.sleep(0.5, 'slept')",
            "count > 3",
            "before = count; __import__('_thread').start_new_thread(lambda: None, ()) and None",
            "task.cancel()",
            "task.cancelled()",
        ],
    )
    assert shown == ["", "", "", "'slept'\n", "True\n", "", "True\n", "True\n"]


def test_a_file_in_bin_is_a_command_at_once(guest: Guest) -> None:
    text = (
        "import asyncio\\nprint(argv, cwd, await asyncio.sleep(0, 7))\\n"
        "if len(argv) > 1: raise CommandError(argv[1] + \\': no\\')"
    )
    assert guest.call(
        "sessions.talk",
        [
            f"f = open('/bin/newone.py', 'w'); _ = f.write('from kernel import CommandError\\n{text}'); f.close()",
            "cwd = '/tmp'",
            "newone",
            "newone 'a b'",
            "sh('newone | cat')",
            "rm /bin/newone.py",
        ],
    ) == ["", "", "['newone'] /tmp 7\n", "['newone', 'a b'] /tmp 7\nnewone: a b: no\n", "['newone'] /tmp 7\n", ""]


def test_sixteen_sessions_keep_to_themselves(guest: Guest) -> None:
    shown = guest.call("sessions.crowd", 16, timeout=240)
    assert [one[:2] for one in shown] == [
        [f"thread {number} /tmp/crowd{number}\n", f"/tmp/crowd{number}\n"] for number in range(16)
    ]
    assert [one[2] for one in shown] == [f"({number}, 0)\n" for number in range(16)]


def test_an_endless_loop_delays_nobody_else(guest: Guest) -> None:
    waits = HostWaits(guest.console.pid)
    delays = sorted(guest.call("sessions.delay_beside_a_spinner"))
    # The median, without what the host kept the machine waiting: that is spread over no more than the slower half.
    slower = delays[len(delays) // 2 :]
    assert slower[0] - waits.total() / len(slower) < 0.2


def test_what_is_printed_after_the_end_goes_to_the_log(guest: Guest) -> None:
    assert re.fullmatch(r"\[PythonOS\] INFO [\w.]+: short: late WORD", guest.call("sessions.late_words"))


def test_long_lines_and_garbage_leave_a_session_usable(guest: Guest) -> None:
    said, answer = guest.call("sessions.survives", 2**20, timeout=200)
    assert said == "the line is too long: the terminal takes 4095 characters"
    assert answer == "2\n"


def test_interrupts_in_a_row_leave_a_session_usable(guest: Guest) -> None:
    assert guest.call("sessions.interrupts_in_a_row", 12, timeout=400) == 12


def test_pasted_lines_arrive_whole(guest: Guest) -> None:
    assert guest.call("sessions.paste", 200, timeout=120) == f"{sum(range(200))}\n"


def test_a_module_of_the_kernel_is_edited_and_reloaded_and_in_use_at_once(guest: Guest) -> None:
    assert guest.call("sessions.reload_an_edited_module", timeout=60) == [
        "False\n",
        "False\n",
        "90061000\n",
        "90061000\n",
        "Uptime: 1 day, 1:01:01\n",
        "True\n",
        "False\n",
    ]


@pytest.mark.parametrize(
    "context, body, other_line, shown",
    [
        ("contextlib.redirect_stdout(text)", "print('in text')", "print('aloud')", ["aloud\n", "'in text\\n' []\n"]),
        (
            "contextlib.redirect_stderr(text)",
            "print('in text', file=sys.stderr)",
            "print('aloud', file=sys.stderr)",
            ["aloud\n", "'in text\\n' []\n"],
        ),
        (
            "warnings.catch_warnings(record=True) as caught",
            "warnings.warn('mine')",
            "warnings.warn('yours')",
            ["<input>:1: UserWarning: yours\n  warnings.warn('yours')\n", "'' ['mine']\n"],
        ),
    ],
    ids=["stdout", "stderr", "warnings"],
)
def test_what_a_session_redirects_is_its_own(
    guest: Guest, context: str, body: str, other_line: str, shown: list[str]
) -> None:
    found = guest.call("sessions.print_beside", context, body, other_line)
    assert [re.sub(r"<python-input-\d+>", "<input>", one) for one in found] == [*shown, "afterwards\n"]


def test_a_session_shows_what_it_logs(guest: Guest) -> None:
    assert guest.call("sessions.log_beside") == [f"WARNING:root:of {number}\n" for number in range(4)]


def test_a_program_with_a_loop_of_its_own_runs_in_every_way(guest: Guest) -> None:
    text = "import asyncio\nasync def main(): sh('echo nested')\nasyncio.run(main())\nprint(6 * 7)\n"
    printed = "nested\n42\n"
    assert guest.call("sessions.programs", text) == [printed, printed, printed, printed, "2\n"]


def test_a_session_that_ends_leaves_no_text_of_its_statements(guest: Guest) -> None:
    line = "sum(name.startswith('<python-input-') for name in __import__('linecache').cache)"
    for _ in range(2):
        # The text of this statement, and no other.
        assert guest.call("sessions.talk", ["1 + 1", line])[1] == "2\n"
