"""A server of asyncio that sends every client back what it sends: `echo_server.py [port]`, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves one client: a task of its own, in the same thread as all others."""
    host, port, *_ = writer.get_extra_info("peername")
    print(f"{host}:{port} has come", flush=True)
    count = 0
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            # Waits while the client does not read: what it has not taken does not pile up here.
            await writer.drain()
            count += len(data)
    except ConnectionError as error:
        print(f"{host}:{port}: {error.strerror}", flush=True)
    finally:
        writer.close()
    print(f"{host}:{port} has gone, {count} bytes echoed", flush=True)


async def serve(port: int) -> None:
    """Serves until it is cancelled."""
    async with await asyncio.start_server(echo, "0.0.0.0", port) as server:
        print(f"echoing on port {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


def main(argv: list[str]) -> None:
    """Serves until Ctrl-C."""
    try:
        asyncio.run(serve(int(argv[1]) if len(argv) > 1 else 7))
    except KeyboardInterrupt:
        print("stopped")


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
