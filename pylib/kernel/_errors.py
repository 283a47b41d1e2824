"""The exceptions of package `kernel`; the tree is drawn in its docstring."""


class KernelError(Exception):
    """Base of everything that package `kernel` raises by itself."""


class PowerError(KernelError):
    """The machine could not be switched off or restarted."""


class CommandError(KernelError):
    """A command of /bin cannot do what it was asked for; the text says why, in one line.

    The session prints `NAME: TEXT`, without a traceback.
    """
