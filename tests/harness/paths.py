"""Where things are: the repository, its build folder, the cache of what was built from C."""

from __future__ import annotations

import os
from pathlib import Path

#: Not resolved: `start.sh` may have come here by a link, because the real path has blanks in it.
REPOSITORY = Path(__file__).absolute().parents[2]
BUILD = REPOSITORY / "build"
LOGS = BUILD / "logs"


def cache() -> Path:
    """Returns the folder that outlives `make clean`; all of it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pythonos"
