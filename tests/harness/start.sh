#!/bin/sh
# Finds a Python of 3.11 or later, or installs it where that needs no question, and starts the
# harness with it. All else that is missing the harness itself finds and installs.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

if ! python=$(find_python); then
    install='apt-get update && apt-get install -y --no-install-recommends python3'
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "installing python3" >&2
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3; } >&2
    elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
        echo "installing python3" >&2
        { sudo -n apt-get update && sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3; } >&2
    else
        echo "missing: Python 3.11 or later. On Debian 12 or Ubuntu 24.04 type" >&2
        echo "    sudo sh -c '$install'" >&2
        echo "and try again." >&2
        exit 2
    fi
    python=$(find_python) || { echo "this system's python3 is older than 3.11" >&2; exit 2; }
fi
case $here in
*[[:space:]]*)
    # The configure scripts of musl and CPython split their compiler's command at blanks.
    link=${XDG_CACHE_HOME:-$HOME/.cache}/pythonos/checkouts/$(printf %s "$here" | cksum | cut -d ' ' -f 1)
    mkdir -p "$(dirname "$link")" || exit 2
    ln -sfn "${here%/tests}" "$link"
    here=$link/tests
    ;;
esac
PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE
exec "$python" -m harness "$@"
