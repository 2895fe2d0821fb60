#!/usr/bin/env python3
"""Thousands of open streams on `longrun serve`, and what it does to them if a client does not read.

    python3 bench/serving_streams.py [--streams 2000] [--tokens 64] [--rounds 3]

A small model, so that the server's own work shows: every stream generates at once, and the client
notes when each event comes. Prints the time between two events of a stream (median and 99th
percentile over all streams) and the most memory that the server held. One stream more has twenty
kilobytes a step; its client reads them in half of the rounds and nothing in the others, where the
server cuts it off. Needs numpy, and build/bin of the release preset.
"""

import argparse
import contextlib
import json
import pathlib
import re
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from served import served

SOURCE = pathlib.Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 120


def say(text):
    print(text, file=sys.stderr, flush=True)


def ask(port, buffer=None, **body):
    """A socket, which may have a small buffer, on which a stream has been asked for."""
    made = socket.socket()
    if buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect(("127.0.0.1", port))
    text = json.dumps({"model": "small", "stream": True, "ignore_eos": True, "temperature": 0,
                       **body}).encode()
    made.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\n"
                 b"Content-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
    return made


class Reader:
    """One stream: when its events came, and whether it ended as it should."""

    def __init__(self, made):
        self.socket = made
        self.times = []
        self.rest = b""
        self.whole = False

    def take(self, now):
        """Reads what there is; False at the end."""
        data = self.socket.recv(65536)
        self.rest += data
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            if line.startswith(b"data: [DONE]"):
                self.whole = True
            elif line.startswith(b"data: "):
                self.times.append(now)
        return bool(data) and not self.whole


def peak_memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def measure(folder, streams, tokens, silent):
    """(median gap, 99th percentile of gaps, MiB of the server at most)."""
    with served(folder, "--name", "small", "--max-sequences", min(streams + 32, 4096),
                "--memory", "4Gi", "--no-prefix-sharing", "--max-wait", "5m") as (server, port):
        large = Reader(ask(port, buffer=4096 if silent else None, prompt=[1, 2, 3],
                           max_tokens=900, n=32, logprobs=5))
        readers = [Reader(ask(port, prompt=[i % 200, i // 200, 3], max_tokens=tokens))
                   for i in range(streams)]
        with selectors.DefaultSelector() as selector:
            for reader in readers:
                selector.register(reader.socket, selectors.EVENT_READ, reader)
            if not silent:
                selector.register(large.socket, selectors.EVENT_READ, large)
            left = streams
            while left:
                events = selector.select(PATIENCE_SECONDS)
                if not events:
                    raise SystemExit("the streams stand still")
                now = time.monotonic()
                for key, _ in events:
                    if not key.data.take(now):
                        selector.unregister(key.fileobj)
                        left -= key.data is not large
        broken = sum(not reader.whole for reader in readers)
        if broken:
            raise SystemExit(f"{broken} of {streams} streams broke off")
        gaps = [b - a for reader in readers for a, b in zip(reader.times, reader.times[1:])]
        memory = peak_memory(server.pid)
        if silent:
            with contextlib.suppress(ConnectionResetError):
                while large.take(0):
                    pass
            if large.whole:
                raise SystemExit("who did not read was not cut off")
        large.socket.close()
    cuts = statistics.quantiles(gaps, n=100)
    return cuts[49], cuts[98], memory


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    wanted = flags.streams + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise SystemExit(f"{wanted} open files are wanted, {hard} allowed: ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    found = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, SOURCE / "bench/random_gpt2.py", folder, "--layers", "2",
                        "--width", "128", "--heads", "4", "--vocab", "8192"], check=True)
        for turn in range(flags.rounds):
            for silent in (False, True):
                say(f"round {turn + 1} of {flags.rounds}: "
                    f"{'one does not read' if silent else 'all read'}")
                found[silent].append(measure(folder, flags.streams, flags.tokens, silent))
    print(f"{flags.streams} streams of {flags.tokens} tokens"
          f"{'between events: median':>28}{'99 %':>10}{'memory':>12}")
    for silent, name in ((False, "all read"), (True, "one does not read")):
        median, most, memory = (statistics.median(values) for values in zip(*found[silent]))
        print(f"{name:<28}{median * 1e3:>22.1f} ms{most * 1e3:>7.1f} ms{memory:>8.0f} MiB")


if __name__ == "__main__":
    main()
