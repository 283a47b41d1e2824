"""What the Makefile's targets do: `python3 -m harness COMMAND`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import conformance, connect, deep, images, iso, qemu, setup
from harness.paths import BUILD, REPOSITORY
from harness.progress import Progress, StepFailed, run
from harness.settings import BadSetting, Settings, read, tested

#: Where each `make run` leaves the process id of its QEMU as the name of a file, for `make stop`.
RUNNING = BUILD / "running"
#: The machine's ports of the Python shell and of `ftp get`.
REPL_PORT, FILE_PORT = 5000, 7000


def build(settings: Settings) -> int:
    """Builds the image and the initrd."""
    setup.ensure("build", Progress(1), settings.arch)
    found = images.build_images(settings, tests=False)
    print(f"{found.folder.relative_to(REPOSITORY)} is up to date; `make run` boots it")
    return 0


def forwards(settings: Settings) -> dict[int, int]:
    """Returns which ports of this host lead to which of the machine's; raises `BadSetting` if one is taken."""
    names = {"REPL_HOST_PORT": settings.repl_host_port, "FILE_HOST_PORT": settings.file_host_port}
    if settings.repl_host_port == settings.file_host_port:
        raise BadSetting(f"{' and '.join(names)} are the same, {settings.repl_host_port}: want two")
    for name, port in names.items():
        if not connect.is_free(port):
            raise BadSetting(
                f"{name}={port}: another program has this port of 127.0.0.1;"
                f" `make stop` ends other machines, `{name}=NUMBER make run` takes another port"
            )
    return {settings.repl_host_port: REPL_PORT, settings.file_host_port: FILE_PORT}


def run_machine(settings: Settings) -> int:
    """Builds what is missing and boots to the prompt on this terminal."""
    forwarded = forwards(settings)
    progress = Progress(1)
    progress.next("set-up")
    setup.ensure("run", progress, settings.arch)
    images.build_images(settings, tests=False)
    command = qemu.command(
        settings,
        append=[*qemu.user_options(), "repl.listen=user-net"],
        tests=False,
        interactive=sys.stdin.isatty(),
        restarts=True,
        forwards=forwarded,
    )
    RUNNING.mkdir(parents=True, exist_ok=True)
    qemu.forget_ended(RUNNING)
    (RUNNING / str(os.getpid())).touch()
    (BUILD / "run.command").write_text(shlex.join(command) + "\n")
    if sys.stdin.isatty():
        print("PythonOS starts; Ctrl-A X leaves QEMU.", file=sys.stderr, flush=True)
    os.execvp(command[0], command)


def attach(settings: Settings) -> int:
    """Attaches this terminal to the Python shell of the machine that `make run` started."""
    return connect.attach(settings.repl_host_port)


def stop(settings: Settings) -> int:
    """Ends the machines that `make run` started."""
    stopped = qemu.stop(RUNNING)
    message = f"stopped {stopped} machine{'s' * (stopped > 1)}" if stopped else "no machine of `make run` is running"
    print(message, file=sys.stderr)
    return 0


def write_iso(settings: Settings) -> int:
    """Writes a disc that boots under BIOS and UEFI."""
    progress = Progress(2)
    progress.next("set-up")
    if settings.arch != "x86_64":
        raise BadSetting(f"TARGET_ARCH={settings.arch}: discs are for x86_64 alone")
    setup.ensure("iso", progress, settings.arch)
    found = images.build_images(settings, tests=False)
    output = found.folder / "pythonos.iso"
    progress.next("disc")
    with progress.working(f"write {output.name}"):
        iso.write(found.kernel(), found.initrd(0), "panic=halt", output)
    print(output.relative_to(REPOSITORY))
    return 0


def test(settings: Settings) -> int:
    """Builds, then runs the host tests (cargo, loom) and the tests that boot machines (pytest)."""
    set_up(settings)
    for chosen in tested():
        images.build_images(chosen, tests=True)
    cargo = Progress(2)
    cargo.next("host tests")
    with cargo.working("cargo test"):
        run(["cargo", "test", "--workspace", "--quiet"], "cargo-test", cwd=REPOSITORY)
    cargo.next("loom")
    with cargo.working("every interleaving of the locks"):
        run_loom()
    return pytest(sys.argv[2:])


def no_comparison() -> str | None:
    """Returns why the kernel's calls cannot be compared with those of this machine, if so."""
    if sys.platform != "linux":
        return "this is no Linux"
    if os.geteuid() != 0:
        return "not root, whose rights the machine's only user has"
    filesystems = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return None if ["/dev/shm", "tmpfs"] in filesystems else "no tmpfs at /dev/shm"


def run_loom() -> None:
    """Runs the loom models of `smp` and `pthread-shim`, in a target folder of their own."""
    flags = f"{os.environ.get('RUSTFLAGS', '')} --cfg loom".strip()
    environment = {**os.environ, "RUSTFLAGS": flags, "CARGO_TARGET_DIR": str(BUILD / "loom")}
    command = ["cargo", "test", "--release", "--quiet", "--package", "smp", "--package", "pthread-shim", "--lib"]
    run(command, "loom", cwd=REPOSITORY, env=environment)


def pytest(arguments: Sequence[str], **environment: str) -> int:
    """Runs pytest with its output on this terminal, and `environment` added to its own; returns its exit code."""
    python = setup.python_with("pytest")
    if python is None:
        raise StepFailed("no pytest (try `make setup`)")
    words = [*arguments, *shlex.split(os.environ.get("PYTEST_ARGS", ""))]
    if not any(not word.startswith("-") for word in words):
        words.append("tests")
    command = [python, "-m", "pytest", *words]
    return subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **environment}, check=False).returncode


def boot_test(settings: Settings) -> int:
    """Builds, then runs the tests that boot machines, of one architecture."""
    progress = Progress(1)
    progress.next("set-up")
    setup.ensure("test", progress, settings.arch)
    images.build_images(settings, tests=True)
    return pytest(sys.argv[2:], TARGET_ARCH=settings.arch)


def bench(settings: Settings) -> int:
    """Builds, then measures; tables and plots go to `build/bench/`."""
    progress = Progress(1)
    progress.next("set-up")
    setup.ensure("bench", progress, settings.arch)
    script = REPOSITORY / "bench" / "run.py"
    python = setup.python_with("matplotlib")
    if python is None:
        raise StepFailed("no matplotlib (try `make bench` once more)")
    return subprocess.run([python, script, *sys.argv[2:]], cwd=REPOSITORY, check=False).returncode


def test_cpython(settings: Settings) -> int:
    """Builds, then runs CPython's regression tests in machines and on this one."""
    progress = Progress(1)
    progress.next("set-up")
    setup.ensure("test", progress, settings.arch)
    return conformance.main(settings, sys.argv[2:])


def stress(settings: Settings) -> int:
    """Builds, then stresses a machine of each architecture; results go to `build/stress/`."""
    set_up(settings)
    script = REPOSITORY / "tests" / "stress.py"
    arguments = [*sys.argv[2:], *shlex.split(os.environ.get("STRESS_ARGS", ""))]
    return subprocess.run([sys.executable, script, *arguments], cwd=REPOSITORY, check=False).returncode


def mypy(settings: Settings) -> int:
    """Checks the types of the Python sources."""
    progress = Progress(1)
    progress.next("set-up")
    setup.ensure("check", progress)
    python = setup.python_with("mypy")
    if python is None:
        raise StepFailed("no mypy (try `make setup`)")
    folders = ("pylib", "tests/pylib", "tests/harness", "tests/guest", "bench")
    return subprocess.run([python, "-m", "mypy", *folders], cwd=REPOSITORY, check=False).returncode


def ruff(settings: Settings) -> int:
    """Looks for mistakes in the Python sources."""
    progress = Progress(1)
    progress.next("set-up")
    setup.ensure("ruff", progress)
    return subprocess.run([setup.ruff(progress), "check", "."], cwd=REPOSITORY, check=False).returncode


def loom(settings: Settings) -> int:
    """Runs the loom models alone."""
    progress = Progress(1)
    progress.next("loom")
    setup.ensure("build", progress)
    with progress.working("every interleaving of the locks"):
        run_loom()
    return 0


def check_deep(settings: Settings) -> int:
    """Runs the tests of the crates under Miri."""
    return deep.check(Progress(2))


def set_up(settings: Settings) -> int:
    """Installs what building and testing need."""
    progress = Progress(1)
    progress.next("set-up")
    setup.ensure("test", progress, *(chosen.arch for chosen in tested()))
    print("everything is there")
    return 0


def compare(settings: Settings) -> int:
    """Runs the tests that make the same random calls to the kernel's code and to this machine's Linux.

    They are no part of `make test`: a container's Linux may allow less than a machine's.
    """
    progress = Progress(1)
    progress.next("comparison")
    setup.ensure("build", progress)
    if (reason := no_comparison()) is not None:
        raise BadSetting(f"cannot compare: {reason}")
    command = ["cargo", "test", "--package", "kernel", "--lib", "--quiet", "--", "--ignored"]
    with progress.working("random calls against this Linux"):
        run(command, "compare", cwd=REPOSITORY)
    return 0


def clean(settings: Settings) -> int:
    """Removes build/ and target/; what was built from C stays in the cache."""
    images.clean(everything=False)
    return 0


def clean_all(settings: Settings) -> int:
    """Removes the cache as well: the next build starts from nothing."""
    images.clean(everything=True)
    return 0


COMMANDS: dict[str, Callable[[Settings], int]] = {
    "build": build,
    "run": run_machine,
    "connect": attach,
    "stop": stop,
    "bench": bench,
    "stress": stress,
    "boot-test": boot_test,
    "test-cpython": test_cpython,
    "iso": write_iso,
    "test": test,
    "loom": loom,
    "compare": compare,
    "check-deep": check_deep,
    "mypy": mypy,
    "ruff": ruff,
    "setup": set_up,
    "clean": clean,
    "cleanall": clean_all,
}


def main() -> int:
    """Runs one command; 2 means that the user has to change or install something."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(f"usage: harness {{{','.join(COMMANDS)}}}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[sys.argv[1]](read())
    except (BadSetting, setup.SetupMissing) as problem:
        print(f"pythonos: {problem}", file=sys.stderr)
        return 2
    except (StepFailed, OSError) as problem:
        # An OSError names the file and what is wrong with it: no space, no permission.
        print(f"pythonos: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\npythonos: interrupted; the next run goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
