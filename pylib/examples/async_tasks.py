"""Tasks of stock asyncio: they wait together, time out, are cancelled, and use threads for what computes."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor


async def count(name: str, numbers: int, delay_s: float, queue: asyncio.Queue[str]) -> int:
    """Puts a few numbers into a queue, with a wait before each."""
    for number in range(numbers):
        await asyncio.sleep(delay_s)
        await queue.put(f"{name}{number}")
    return numbers


def compute(limit: int) -> int:
    """Does work that would stop an event loop."""
    return sum(number * number for number in range(limit))


async def show() -> None:
    """Prints the demonstration."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(count(name, 3, 0.05, queue)) for name in "abc"]
    took = time.monotonic() - began
    print(f"tasks returned: {[task.result() for task in tasks]}")
    print(f"queue: {sorted(queue.get_nowait() for _ in range(queue.qsize()))}")
    print(f"they waited together: {0.15 <= took < 0.45}")

    try:
        async with asyncio.timeout(0.05):
            await asyncio.sleep(10)
    except TimeoutError:
        print("timeout: True")

    sleeper = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    sleeper.cancel()
    await asyncio.wait([sleeper])
    print(f"cancelled: {sleeper.cancelled()}")

    sums = await asyncio.gather(*(asyncio.to_thread(compute, 1000 * n) for n in (1, 2, 3)))
    print(f"threads computed: {sums}")


def main() -> None:
    """Runs the demonstration on an event loop of its own: that of the session goes on meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(show())).result()


if __name__ in ("__main__", "<run_path>"):
    main()
