"""What a module hands on to itself when it is reloaded.

`importlib.reload` runs a module again in its old namespace. An object that others hold, `scheduler` say, must
stay the one it is, with what it knows, and get the methods that are new:

    scheduler = keep(globals().get("scheduler"), Scheduler)
"""

from collections.abc import Callable
from typing import TypeVar, cast

_T = TypeVar("_T")


def keep(found: object, kind: type[_T], make: Callable[[], _T] | None = None) -> _T:
    """Returns `found` as an object of class `kind`, or a new one, which `make` makes, if it is None.

    `__init__` does not run for an object that was there. Raises `TypeError` if `kind` lays out its objects in
    another way than the class that `found` had, as other `__slots__` do.
    """
    if found is None:
        return (make or kind)()
    # Not by assignment: stand-ins pass that on to what they stand for.
    object.__setattr__(found, "__class__", kind)
    return cast(_T, found)
