"""The build's own rules: archives, command lines, symbol tables, lists, and what they promise of the image."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from harness import fetch, image, images, link, musl, qemu, settings, setup, toolchain
from harness.link import Symbol
from harness.paths import REPOSITORY
from harness.progress import Progress
from harness.settings import Settings


def read_cpio(data: bytes) -> dict[str, tuple[int, bytes, int]]:
    """Returns mode, contents and place of the contents of every name in newc archives."""
    found, position = {}, 0
    while position < len(data):
        if data[position : position + 6] != b"070701":
            assert data[position : position + 4] == bytes(4)
            position += 4
            continue
        fields = [int(data[position + 6 + 8 * n : position + 14 + 8 * n], 16) for n in range(13)]
        name = data[position + 110 : position + 110 + fields[11]]
        assert name.endswith(b"\0")
        start = position + (110 + fields[11] + 3) // 4 * 4
        found[name.rstrip(b"\0").decode()] = fields[1], data[start : start + fields[6]], start
        position = start + (fields[6] + 3) // 4 * 4
    return found


def test_archives_hold_what_was_put_in(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    contents = {f"file{size}": bytes(n % 251 for n in range(size)) for size in (0, 1, 4095, 4096, 4097, 20000)}
    for name, data in contents.items():
        (source / "inner" / name).write_bytes(data)
    (source / "inner" / "file1").chmod(0o755)
    entries = [*image.tree(source, "lib/x"), image.Entry("lib/y", stat.S_IFLNK | 0o777, target="x")]
    output = tmp_path / "archive"
    image.write_cpio(image.parents(entries), output)
    found = read_cpio(output.read_bytes() * 2)
    assert list(found)[:2] == ["lib", "lib/x"]
    assert found["lib/y"][:2] == (stat.S_IFLNK | 0o777, b"x")
    assert found["lib/x/inner/file1"][0] == stat.S_IFREG | 0o755
    for name, data in contents.items():
        _, stored, place = found[f"lib/x/inner/{name}"]
        assert stored == data
        assert len(data) < image.PAGE or place % image.PAGE == 0
    assert output.stat().st_size % image.PAGE == 0


def test_archives_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("b", "a") if name == "first" else ("a", "b"):
            (folder / file).write_text(file)
        image.write_cpio(list(image.tree(folder, "x")), tmp_path / f"{name}.cpio")
    assert (tmp_path / "first.cpio").read_bytes() == (tmp_path / "second.cpio").read_bytes()


@pytest.mark.parametrize(
    ("word", "quoted"),
    [("-c", "-c"), ("print(1)", "'print(1)'"), ("", "''"), ("it's", "'it'\\''s'"), ("a b", "'a b'"), ("$x", "'$x'")],
)
def test_arguments_are_quoted_for_the_kernel(word: str, quoted: str) -> None:
    assert qemu.quote(word) == quoted


def test_kernel_command_line_ends_with_pythons_arguments() -> None:
    assert qemu.kernel_command_line(["panic=exit", "env.A=b c"], []) == "panic=exit env.A='b c'"
    assert qemu.kernel_command_line(["panic=exit"], ["-c", "1;2"]) == "panic=exit -- -c '1;2'"


def test_kvm_needs_more_than_its_device(tmp_path: Path) -> None:
    device, cpuinfo = tmp_path / "kvm", tmp_path / "cpuinfo"
    device.touch()
    arch = toolchain.host_architecture()
    cpuinfo.write_text("flags\t\t: fpu vmx sse\n")
    assert qemu.kvm_works(arch, cpuinfo, device)
    assert not qemu.kvm_works(arch, cpuinfo, tmp_path / "missing")
    assert not qemu.kvm_works("sparc", cpuinfo, device)
    if arch == "x86_64":
        cpuinfo.write_text("flags\t\t: fpu sse\nmodel name\t: vmx\n")
        assert not qemu.kvm_works(arch, cpuinfo, device)


def test_symbol_table_is_sorted_and_readable() -> None:
    table = link.symbol_table(
        [
            Symbol(0x201010, "t", "_RNvNtCs2BqzzRL4ffZ_6kernel3log4read"),
            Symbol(0x201000, "T", "main"),
            Symbol(0x300000, "D", "data"),
            Symbol(0x201010, "T", "exported"),
        ]
    )
    (count,) = struct.unpack_from("<I", table)
    names = {}
    for address, offset in struct.iter_unpack("<II", table[4 : 4 + 8 * count]):
        names[address] = table[offset : table.index(b"\0", offset)].decode()
    assert names == {0x201000: "main", 0x201010: "exported"}
    assert link.demangle(
        [
            "_RNvMNtNtCs2BqzzRL4ffZ_6kernel7console15line_disciplineNtB2_14LineDiscipline6append.llvm.123",
            "_RNvXs3_NtNtNtCsg3SjgaGcPXb_4core3fmt3num3imptNtB9_7Display3fmt",
            "main",
        ]
    ) == ["<kernel::console::line_discipline::LineDiscipline>::append", "<u16 as core::fmt::Display>::fmt", "main"]


def test_settings_reject_what_means_nothing() -> None:
    for name, value in [
        ("SMP_CPUS", "0"), ("SMP_CPUS", "65"), ("SMP_CPUS", "abc"), ("SMP_CPUS", "٣"), ("MEM", "64M"), ("MEM", "lots"),
        ("ACCEL", "warp"), ("TARGET_ARCH", "vax"), ("PYTHONOS_FREE_THREADING", "yes"),
        ("REPL_HOST_PORT", "70000"),
    ]:  # fmt: skip
        with pytest.raises(settings.BadSetting, match=name):
            settings.read({"TARGET_ARCH": "x86_64", name: value})


def test_tests_are_for_every_architecture_unless_one_is_chosen() -> None:
    assert [each.config for each in settings.tested({})] == ["x86_64-ft", "arm64-ft"]
    assert [each.arch for each in settings.tested({"TARGET_ARCH": "aarch64"})] == ["arm64"]
    with pytest.raises(settings.BadSetting, match="TARGET_ARCH"):
        settings.tested({"TARGET_ARCH": "vax"})


def test_memory_is_read_as_qemu_reads_it() -> None:
    assert [settings.memory_mib(text) for text in ("128M", "1G", "1g", "2048", "512MB")] == [128, 1024, 1024, 2048, 512]


def test_a_cache_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, what in [(tmp_path / "a b", "has a blank"), (tmp_path / "file" / "cache", "cannot be written")]:
        with pytest.raises(setup.SetupMissing, match=f"{what}.*XDG_CACHE_HOME="):
            setup._check_cache(folder)
    setup._check_cache(tmp_path / "new" / "cache")


def test_a_checkout_with_a_blank_in_its_path_is_reached_by_a_link(tmp_path: Path) -> None:
    checkout = tmp_path / "my checkout"
    shutil.copytree(REPOSITORY / "tests" / "harness", checkout / "tests" / "harness")
    result = subprocess.run(
        ["sh", checkout / "tests" / "harness" / "start.sh", "stop"],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "no machine of `make run` is running\n")
    (link,) = (tmp_path / "cache" / "pythonos" / "checkouts").iterdir()
    assert link.readlink() == checkout


def test_stop_ends_machines_and_nothing_else(tmp_path: Path) -> None:
    program = tmp_path / "qemu-system-test"
    shutil.copy("/bin/sleep", program)
    machine, other = subprocess.Popen([program, "100"]), subprocess.Popen(["sleep", "100"])
    try:
        running = tmp_path / "running"
        running.mkdir()
        for pid in (machine.pid, other.pid):
            (running / str(pid)).touch()
        # Somebody has to collect it: it is this program's child, as it is the shell's otherwise.
        collector = threading.Thread(target=machine.wait)
        collector.start()
        assert qemu.stop(running) == 1
        collector.join()
        assert machine.returncode == -signal.SIGTERM
        assert other.poll() is None
        assert list(running.iterdir()) == []
    finally:
        for process in (machine, other):
            process.kill()
            process.wait()


def test_debian_mirror_is_an_address() -> None:
    assert fetch.debian_mirror().startswith(("http://", "https://"))


def test_every_excluded_source_of_musl_has_a_reason() -> None:
    found = musl.excluded()
    assert all(
        provider in ("none", "pthread-shim", "replacements", musl.KEPT) and reason
        for provider, reason in found.values()
    )
    assert musl.is_excluded("src/thread/pthread_create")
    assert musl.is_excluded("src/thread/x86_64/clone")
    assert not musl.is_excluded("src/linux/clone")
    kept = {name for name, (provider, _) in found.items() if provider == musl.KEPT}
    helpers = {line.split("#")[0].strip() for line in musl.HELPERS.read_text().splitlines()} - {""}
    assert helpers == {name for name in kept if name.startswith("src/thread/")}


def test_c_takes_what_imports_txt_says(chosen: Settings, tmp_path: Path) -> None:
    """No symbol creeps into the C surface unseen, and none is promised that nobody takes."""
    libraries = images.build_libraries(chosen, Progress(images.STEPS))
    parts = images.image_parts(libraries, toolchain.TARGETS[chosen.arch], tmp_path, tests=True)
    taken = set(link.c_imports(parts, tmp_path))
    assert taken == set(link.names(link.IMPORTS))
    from_rust = {name for name in taken if not name.endswith(("_array_start", "_array_end")) and name != "_DYNAMIC"}
    assert from_rust <= set(link.names(link.EXPORTS))


@pytest.mark.parametrize("tests", [False, True])
def test_image_has_none_of_musls_thread_scheduling_or_waiting(chosen: Settings, tests: bool) -> None:
    found = images.build_images(chosen, tests=tests)
    link_map = Path(f"{found.kernel(tests)}.map")
    assert "libc.a(fopen.o)" in link_map.read_text()
    assert musl.thread_objects_in(link_map, found.folder / "musl") == []


def test_arm64_takes_its_own_tools_machine_and_ports() -> None:
    packages = {package for need in setup.needs("run", ["arm64"], "x86_64") for package in need.packages}
    assert {"qemu-system-arm", "gcc-aarch64-linux-gnu", "linux-libc-dev-arm64-cross"} <= packages
    assert "qemu-system-x86" not in packages
    on_arm = {package for need in setup.needs("run", ["arm64"], "arm64") for package in need.packages}
    assert "gcc-aarch64-linux-gnu" not in on_arm
    for_x86 = {package for need in setup.needs("run", ["x86_64"], "x86_64") for package in need.packages}
    assert not {"qemu-system-arm", "gcc-aarch64-linux-gnu"} & for_x86
    for both in (("x86_64", "arm64"), ("arm64", "x86_64")):
        for_tests = {package for need in setup.needs("test", both, both[0]) for package in need.packages}
        assert {"qemu-system-x86", "qemu-system-arm", "python3-pytest"} <= for_tests
        assert {"gcc-aarch64-linux-gnu", "gcc-x86-64-linux-gnu", "grub-pc-bin"} & for_tests == (
            {"gcc-aarch64-linux-gnu", "grub-pc-bin"} if both[0] == "x86_64" else {"gcc-x86-64-linux-gnu"}
        )
    arm = settings.read({"TARGET_ARCH": "aarch64"})
    assert (arm.arch, arm.repl_host_port, arm.file_host_port) == ("arm64", 5556, 17002)
    command = qemu.command(arm, cpus=3)
    assert command[0] == "qemu-system-aarch64"
    assert command[command.index("-kernel") + 1].endswith("arm64-ft/pythonos-tests.img")
    assert command[command.index("-cpu") + 1] == "max,pauth-impdef=on"
