"""Downloads pinned sources: the first address whose file has the pinned sum wins."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.paths import REPOSITORY, cache
from harness.progress import Progress, StepFailed

PINS = REPOSITORY / "cpython" / "sources.toml"
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Archive:
    """One place where a source archive can be had, and the sum it has there."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """A pinned source: the folder inside its archive and the places to get it from."""

    name: str
    version: str
    folder: str
    archives: tuple[Archive, ...]


def debian_mirror() -> str | None:
    """Returns the first address in apt's configuration that serves Debian; None on other systems."""
    candidates: list[Path] = [Path("/etc/apt/sources.list")]
    folder = Path("/etc/apt/sources.list.d")
    if folder.is_dir():
        candidates += sorted([*folder.glob("*.sources"), *folder.glob("*.list")])
    for path in candidates:
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            match = re.match(r"(?:URIs:|deb\s+(?:\[[^]]*\]\s+)?)\s*(https?://\S+)", line)
            # Ubuntu's archive has the same layout but not the same versions.
            if match and "debian" in match[1] and "security" not in match[1]:
                return match[1].rstrip("/")
    return None


def sources() -> dict[str, Source]:
    """Returns the pinned sources of cpython/sources.toml by name."""
    result = {}
    for name, entry in tomllib.loads(PINS.read_text()).items():
        archives = tuple(Archive(place["url"], place["sha256"]) for place in entry["archives"])
        result[name] = Source(name, entry["version"], entry["folder"], archives)
    return result


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(source: Source, progress: Progress) -> Path:
    """Returns the archive of `source`, downloaded unless the cache holds it with a pinned sum."""
    folder = cache() / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{archive.sha256[:16]}-{_file_name(source, archive)}" for archive in source.archives]
    for archive, path in zip(source.archives, paths, strict=True):
        if path.is_file() and _sum(path) == archive.sha256:
            return path
    failures = []
    with progress.working(f"download {source.name} {source.version}"):
        for archive, path in zip(source.archives, paths, strict=True):
            url = archive.url
            if url.startswith("<mirror>"):
                if (mirror := debian_mirror()) is None:
                    failures.append(f"{url}: apt's configuration names no Debian mirror")
                    continue
                url = url.replace("<mirror>", mirror)
            partial = path.with_name(f"{path.name}.{os.getpid()}.part")
            try:
                with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                    partial.write_bytes(response.read())
            except (urllib.error.URLError, OSError) as error:
                failures.append(f"{url}: {error}")
                continue
            found = _sum(partial)
            if found == archive.sha256:
                os.replace(partial, path)
                return path
            partial.unlink()
            failures.append(f"{url}: sha256 is {found}, pinned is {archive.sha256}")
        raise StepFailed(f"no address has the pinned {source.name} {source.version}:\n    " + "\n    ".join(failures))


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a pinned archive into `folder`."""
    # Debian 12's Python has no filters; the pinned sum makes the archive trustworthy.
    options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        tar.extractall(folder, **options)


def _file_name(source: Source, archive: Archive) -> str:
    suffix = "".join(re.findall(r"\.tar\.[a-z0-9]+$", archive.url))
    return f"{source.name}-{source.version}{suffix}"
