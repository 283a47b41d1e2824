"""What is done once, before the first session."""

import threading

_done = threading.Lock()
_modules: list[str] = []


def boot() -> None:
    """Wires the modules of this package to the machine and logs what is there.

    It may be called again, and then does nothing. Raises `ImportError` on a Python without `_hal`.
    """
    with _done:
        if _modules:
            return
        from kernel import log
        from kernel.bus.pci import bus
        from kernel.memory import pmm
        from kernel.scheduler import scheduler

        target = "kernel.boot"
        online = sum(cpu.is_online for cpu in scheduler.cpus())
        log.info("scheduler: %d CPUs, %d threads", online, len(scheduler.threads()), target=target)
        mib = pmm.page_size / (1 << 20)
        log.info("memory: %.0f MiB, %.0f MiB free", pmm.total * mib, pmm.available * mib, target=target)
        log.info("pci: %d functions", len(bus), target=target)
        _modules.extend(("log", "scheduler", "memory", "bus"))
