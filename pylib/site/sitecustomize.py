"""What `site` does last when Python starts: modules imported from their source get constants that CPUs can share.

The free-threaded build counts references to an object of two threads by atomic additions, which CPUs make in
turn: threads that run one function with 0xFFFFFF or 0.5 in its loop slow each other down. CPython makes
constants immortal, which nobody counts, when it runs a program or reads a `.pyc` file, but not for `compile()`,
whose callers may compile without end (gh-130851, `Objects/codeobject.c: intern_constants`). It imports a module
without `.pyc` file by `compile()`, and leaves the rest to the next start's import from the `.pyc` file it writes.
Here every start may be the first, so the code takes that way in memory at once.
"""

import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import (
        BYTECODE_SUFFIXES,
        EXTENSION_SUFFIXES,
        SOURCE_SUFFIXES,
        ExtensionFileLoader,
        FileFinder,
        SourceFileLoader,
        SourcelessFileLoader,
    )
    from typing import Any
else:
    # The same, without the time that the import of `importlib.machinery` takes.
    from _frozen_importlib_external import (
        BYTECODE_SUFFIXES,
        EXTENSION_SUFFIXES,
        SOURCE_SUFFIXES,
        ExtensionFileLoader,
        FileFinder,
        SourceFileLoader,
        SourcelessFileLoader,
    )


class SourceLoader(SourceFileLoader):
    """Loads modules from their source, as the class that it extends does."""

    def source_to_code(self, *arguments: "Any", **options: "Any") -> "Any":  # type: ignore[override]
        """Returns the code of a module, its constants immortal in the free-threaded build.

        Arguments and errors are those of `SourceFileLoader.source_to_code`.
        """
        return marshal.loads(marshal.dumps(super().source_to_code(*arguments, **options)))

    def __eq__(self, other: object) -> bool:
        """Returns whether both load the same module: a loader of the class above too does, say that of `pydoc.importfile`."""
        return isinstance(other, SourceFileLoader) and self.__dict__ == other.__dict__

    __hash__ = SourceFileLoader.__hash__


# Python leaves the frames of this file out of tracebacks of modules that cannot be compiled, together with the others
# of the import system that end there.
_method = SourceLoader.source_to_code
_method.__code__ = _method.__code__.replace(co_filename=SourceFileLoader.source_to_code.__code__.co_filename)

# CPython's own hook for folders is the last one, and has looked at folders already.
sys.path_hooks[-1] = FileFinder.path_hook(
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
sys.path_importer_cache.clear()
