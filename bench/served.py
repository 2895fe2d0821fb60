"""A `longrun serve` of its own for a benchmark."""

import contextlib
import json
import pathlib
import signal
import subprocess

BIN = pathlib.Path(__file__).resolve().parents[1] / "build/bin"


@contextlib.contextmanager
def served(folder, *flags):
    """Runs it on a port that is free; yields (process, port)."""
    server = subprocess.Popen([BIN / "longrun", "serve", folder, "--port", "0", "--json",
                               *map(str, flags)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        yield server, int(json.loads(line)["url"].rsplit(":", 1)[1])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        server.stdout.close()
