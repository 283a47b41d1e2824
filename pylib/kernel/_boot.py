"""What is done once, before the first session."""

_logged: list[str] = []


def boot() -> None:
    """Looks at the machine through the modules of this package and logs what is there.

    It does so once, however often it is called. Raises `ImportError` on a Python without `_hal`.
    """
    # Not at the top: `import kernel` has to be quick.
    from kernel import log
    from kernel.bus.pci import bus
    from kernel.memory import pmm
    from kernel.scheduler import scheduler

    if _logged:
        return
    mib = pmm.page_size / (1 << 20)
    online = sum(cpu.is_online for cpu in scheduler.cpus())
    _logged.append(f"scheduler: {online} CPUs, {len(scheduler.threads())} threads")
    _logged.append(f"memory: {pmm.total * mib:.0f} MiB, {pmm.available * mib:.0f} MiB free")
    _logged.append(f"pci: {len(bus)} functions")
    for line in _logged:
        log.info(line, target="kernel.boot")
