"""The whole standard library is there, unchanged, and imports."""

from __future__ import annotations

import hashlib
import re
import tarfile

from harness import fetch
from harness.paths import REPOSITORY
from harness.progress import Progress
from harness.serial import Guest

PORT = REPOSITORY / "docs" / "cpython-port.md"


def excluded() -> dict[str, str]:
    """Returns the modules that the docs list as excluded, each with its reason."""
    section = PORT.read_text().split("## Modules that are left out", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|$", section, re.MULTILINE)
    return {name: reason for names, reason in rows for name in re.findall(r"`(\w+)`", names)}


def test_every_module_imports_unless_the_docs_exclude_it(guest: Guest) -> None:
    names = guest.call("machine.standard_library")
    errors = guest.call("machine.import_modules", names, timeout=300)
    documented = excluded()
    assert {name: error for name, error in errors.items() if name not in documented} == {}
    # A row for a module that imports is a row that nobody needs.
    assert sorted(set(documented) - set(errors)) == []


def test_excluded_modules_are_missing_not_broken(guest: Guest) -> None:
    errors = guest.call("machine.import_modules", sorted(excluded()), timeout=120)
    assert [
        name for name, error in errors.items() if not error.startswith(("ModuleNotFoundError", "ImportError"))
    ] == []


def pinned_library() -> dict[str, str]:
    """Returns a digest of every .py file of the library in the pinned source archive, by its path there."""
    source = fetch.sources()["cpython"]
    prefix = f"{source.folder}/Lib/"
    digests = {}
    with tarfile.open(fetch.fetch(source, Progress(1))) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(prefix) and member.name.endswith(".py"):
                file = archive.extractfile(member)
                assert file is not None
                digests[member.name.removeprefix(prefix)] = hashlib.sha256(file.read()).hexdigest()
    return digests


def test_no_source_file_of_the_library_is_changed_or_missing(guest: Guest) -> None:
    found: dict[str, str] = guest.call("machine.library_digest", timeout=300)
    made_by_the_build = re.compile(r"_sysconfigdata_.*\.py")
    found = {path: digest for path, digest in found.items() if not made_by_the_build.fullmatch(path)}
    assert found == pinned_library()
