"""usage: mv SOURCE... TARGET

Renames a file or directory to TARGET, or moves each SOURCE into the directory TARGET.
"""

import os
import shutil

from kernel.command import CommandError, for_each, parse

argv: list[str]


def main(argv: list[str]) -> None:
    """Moves each source."""
    options = parse(__doc__, argv, least=2)
    *sources, target = options.operands
    is_folder = os.path.isdir(target)
    if len(sources) > 1 and not is_folder:
        raise CommandError(f"{target}: Not a directory")

    def move(source: str) -> None:
        place = os.path.join(target, os.path.basename(source.rstrip("/"))) if is_folder else target
        os.lstat(source)
        if os.path.lexists(place) and os.path.samestat(os.lstat(source), os.lstat(place)):
            raise CommandError(f"{source}: is the same file as {place}")
        if os.path.isdir(source) and (os.path.realpath(place) + os.sep).startswith(os.path.realpath(source) + os.sep):
            raise CommandError(f"{source}: cannot be moved into itself, {place}")
        try:
            os.rename(source, place)
        except OSError as error:
            # Another file system: copy, then remove.
            if error.errno != 18:
                raise
            shutil.move(source, place)

    for_each(options.name, sources, move)


main(argv)
