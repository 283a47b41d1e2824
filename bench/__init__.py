"""Measures the machine against Linux with the same CPython, in the same QEMU, in the same run."""
