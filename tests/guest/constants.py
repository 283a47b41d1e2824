"""Whether constants are counted, by the way their code came to be; runs in the guest."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from importlib.machinery import SourceFileLoader
from typing import Any

from sessions import talk

_SHOWN = "import sys; print([sys._is_immortal(c) for c in {}.__code__.co_consts if isinstance(c, (float, int))])"


def immortal() -> dict[str, Any]:
    """Returns for each way to get a function whether its constants are immortal."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "imported_anew.py")
        with open(path, "w", encoding="ascii") as file:
            file.write("def f(x):\n    return x * 1234567 + 0.625\n")
        with open(os.path.join(folder, "no_python.py"), "w", encoding="ascii") as file:
            file.write("def f(x:\n")
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True
        try:
            module = importlib.import_module("imported_anew")
            loader = SourceFileLoader("imported_anew", path)
            equal = [loader == module.__loader__, type(loader) is type(module.__loader__)]
            constants = [value for value in module.f.__code__.co_consts if isinstance(value, (float, int))]
            try:
                exec("import no_python")
            except SyntaxError as error:
                frames = [entry.name for entry in traceback.extract_tb(error.__traceback__)]
        finally:
            sys.dont_write_bytecode = False
            sys.path.remove(folder)
            sys.modules.pop("imported_anew", None)
        _, typed, _, loaded = talk(
            ["def f(x): return x * 7654321 + 0.375\r", _SHOWN.format("f"), f"run({path!r})", _SHOWN.format("f")]
        )
    return {
        "imported": [sys._is_immortal(value) for value in constants],  # type: ignore[attr-defined]
        "frames": frames,
        "equal": equal,
        "typed": typed,
        "run": loaded,
    }
