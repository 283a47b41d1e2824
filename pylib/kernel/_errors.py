"""The exceptions of package `kernel`; the tree is drawn in its docstring."""


class KernelError(Exception):
    """Base of everything that package `kernel` raises by itself."""


class PowerError(KernelError):
    """The machine could not be switched off or restarted."""
