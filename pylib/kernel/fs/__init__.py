"""Files for `async` code: the same files that `open()` and `os` see.

    from kernel.fs import vfs, OpenFlags

    fd = await vfs.open("/tmp/notes", OpenFlags.WRITE | OpenFlags.CREATE)
    await vfs.write(fd, b"text")
    await vfs.close(fd)
"""

from kernel.fs._vfs import OpenFlags, Vfs, vfs

__all__ = ["OpenFlags", "Vfs", "vfs"]
