"""Files for `async` code, and file systems written in Python.

    from kernel.fs import vfs, OpenFlags, DictFileSystem, mount

    fd = await vfs.open("/tmp/notes", OpenFlags.WRITE | OpenFlags.CREATE)
    await vfs.write(fd, b"text")
    await vfs.close(fd)

    with mount("/mnt", DictFileSystem({"greeting": "hello"})):
        print(open("/mnt/greeting").read())

`vfs` works on the same files that `open()` and `os` see, and so does what `mount` mounts: `FileSystem` says
what such an object answers.
"""

from kernel.fs._userfs import Attributes, DictFileSystem, FileSystem, Mount, mount
from kernel.fs._vfs import OpenFlags, Vfs, vfs

__all__ = ["OpenFlags", "Vfs", "vfs", "Attributes", "FileSystem", "DictFileSystem", "Mount", "mount"]
