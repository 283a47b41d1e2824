"""Sessions on the machine's console, one after the other.

The kernel starts `python -m kernel` when its command line names nothing else. `exit()` or Ctrl-D
ends a session and begins the next one, with a namespace of its own, in the same interpreter: threads
that a session started go on running, as do the objects they hold.
"""

import os
import sys
import traceback

#: Where sessions are served over TCP.
PORT = 5000
#: Clients that wait there to be let in or sent away.
BACKLOG = 64
#: How long their server rests when it has failed, in seconds.
REST_S = 1.0


def main() -> int:
    """Runs one session after the other; returns only if standard input is no terminal."""
    sys.argv = [""]
    if sys.path and sys.path[0] == os.getcwd():
        # As at any Python prompt: modules are looked up where the session is
        # now, not where it began.
        sys.path[0] = ""
    if not os.isatty(0):
        return _run_piped()
    # By its path: whatever descriptors a session has closed, the next one opens its own.
    tty = os.ttyname(0)
    from kernel.shell import _log, _session

    if "_hal" in sys.builtin_module_names:
        import kernel

        kernel.boot()
    session = _session.Session(tty, name="console")
    _log.write("event loop ready")
    if "_hal" in sys.builtin_module_names:
        _serve_network()
    _log.write("shell spawned — system ready")
    while True:
        try:
            session.run()
        except KeyboardInterrupt:
            # Between two sessions, where nothing runs that it could end.
            pass
        except Exception:
            # A session that broke what it stands on, its descriptors say. The next one starts afresh.
            for line in traceback.format_exc().splitlines():
                _log.write(line)
        # By its module, which may have been reloaded.
        session = _session.Session(tty, name="console")


def _serve_network() -> None:
    """Serves sessions over TCP in a thread of their own, as the kernel options say."""
    import select
    import socket
    import threading
    import time

    from kernel import log, net

    def listen() -> socket.socket:
        listener = socket.create_server(("", PORT), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
        log.info(f"TCP REPL listening on port {PORT}", target="kernel.net")
        return listener

    try:
        access = net.read_access()
        if access.listen == "off":
            return
        listener = listen()
    except (ValueError, OSError) as error:
        # The console works without.
        log.error(f"no Python shell over TCP: {error}", target="kernel.net")
        return
    if access.is_token_made:
        log.info(f"its token is {access.token}", target="kernel.net")

    def serve(listener: socket.socket) -> None:
        # What serves is imported when the first client comes: the console's prompt does not share its CPUs with that.
        while True:
            try:
                select.select([listener], [], [])
                net.Server(listener, access).run()
            except Exception as error:
                log.exception(error, "the Python shell over TCP starts again", target="kernel.net")
                listener = renew(listener)
                # Whatever it was may still be so. Who comes meanwhile waits in line.
                time.sleep(REST_S)

    def renew(listener: socket.socket) -> socket.socket:
        """Returns what listens: a new socket if somebody, a session say, has closed the one there was."""
        while True:
            try:
                if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and listener.getsockname()[1] == PORT:
                    return listener
            except OSError:
                pass
            # Its number may be another's by now.
            listener.detach()
            try:
                return listen()
            except OSError as error:
                log.error(f"nothing listens on port {PORT}: {error}", target="kernel.net")
                time.sleep(REST_S)

    threading.Thread(target=serve, args=(listener,), name="repl", daemon=True).start()


def _run_piped() -> int:
    """Runs what is piped in, as Python's own prompt does; returns the exit status it asks for."""
    from code import InteractiveConsole

    try:
        InteractiveConsole(sys.modules["__main__"].__dict__, filename="<stdin>").interact(banner="", exitmsg="")
    except SystemExit as request:
        if request.code is None:
            return 0
        if isinstance(request.code, int):
            return request.code
        print(request.code, file=sys.stderr)
        return 1
    return 0
