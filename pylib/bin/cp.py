"""usage: cp [-r] SOURCE... TARGET

Copies a file to TARGET, or files into the directory TARGET.

  -r  directories with everything in them
"""

import os
import shutil

from kernel.command import CommandError, for_each, parse

argv: list[str]


def copy(source: str, target: str, *, is_recursive: bool) -> None:
    """Copies one file or directory to a path of its own."""
    if os.path.isdir(source):
        if not is_recursive:
            raise CommandError(f"{source}: Is a directory (cp -r copies it)")
        inside = os.path.realpath(target) + os.sep
        if inside.startswith(os.path.realpath(source) + os.sep):
            raise CommandError(f"{source}: cannot be copied into itself, {target}")
        os.makedirs(target, exist_ok=True)
        for name in sorted(os.listdir(source)):
            copy(os.path.join(source, name), os.path.join(target, name), is_recursive=True)
        shutil.copymode(source, target)
        return
    if os.path.exists(target) and os.path.samefile(source, target):
        raise CommandError(f"{source}: is the same file as {target}")
    if is_recursive and os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    # Devices and pipes are read like files; copyfile would refuse them.
    with open(source, "rb") as reader, open(target, "wb") as writer:
        shutil.copyfileobj(reader, writer)
    shutil.copymode(source, target)


def main(argv: list[str]) -> None:
    """Copies each source."""
    options = parse(__doc__, argv, flags="rR", least=2)
    *sources, target = options.operands
    is_folder = os.path.isdir(target)
    if len(sources) > 1 and not is_folder:
        raise CommandError(f"{target}: Not a directory")

    def copy_one(source: str) -> None:
        place = os.path.join(target, os.path.basename(source.rstrip("/"))) if is_folder else target
        copy(source, place, is_recursive="r" in options or "R" in options)

    for_each(options.name, sources, copy_one)


main(argv)
