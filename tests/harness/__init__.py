"""Builds the images, runs QEMU, reads its serial line. Needs Python 3.11 and nothing else."""
