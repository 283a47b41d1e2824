"""What `site` does last when Python starts: modules imported from their source get constants that CPUs can share.

The free-threaded build counts references to an object of two threads by atomic additions, which CPUs make in
turn: threads that run one function with 0xFFFFFF or 0.5 in its loop slow each other down. CPython makes
constants immortal, which nobody counts, when it runs a program or reads a `.pyc` file, but not for `compile()`,
whose callers may compile without end (gh-130851, `Objects/codeobject.c: intern_constants`). It imports a module
without `.pyc` file by `compile()`, and leaves the rest to the next start's import from the `.pyc` file it writes.
Here every start may be the first, so the code takes that way in memory at once.
"""

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import SourceFileLoader
    from typing import Any
else:
    # The same, without the time that the import of `importlib.machinery` takes.
    from _frozen_importlib_external import SourceFileLoader

_compile: "Any" = SourceFileLoader.source_to_code


def _source_to_code(self: "SourceFileLoader", *arguments: "Any", **options: "Any") -> "Any":
    """Returns the code of a module, its constants immortal in the free-threaded build.

    Arguments and errors are those of CPython's `SourceFileLoader.source_to_code`.
    """
    return marshal.loads(marshal.dumps(_compile(self, *arguments, **options)))


# Python leaves the frames of this file out of tracebacks of modules that cannot be compiled, together with the others
# of the import system that end there.
_source_to_code.__code__ = _source_to_code.__code__.replace(co_filename=_compile.__code__.co_filename)

# In the class itself: programs compare a module's loader, and its type, with those that they make (`pydoc.importfile`).
SourceFileLoader.source_to_code = _source_to_code  # type: ignore[assignment]
