#!/usr/bin/env python3
"""`longrun serve` beside llama.cpp: GPT-2 of 124 M parameters, the same random weights in both.

    python3 bench/serving_vs_llama.py [--peer-root FOLDER] [--rounds 3] [--json]

Prints the table of docs/serving.md: prompts and decoding without a server, then both servers under
the same load from `longrun bench-serve`. Rounds of the two sides alternate; figures are medians.
The peer is looked for in PATH, or under a folder with a Debian system of its own:

    debootstrap --variant=minbase --include=llama.cpp sid FOLDER http://deb.debian.org/debian
    mount --bind /proc FOLDER/proc

(as root; it is entered by chroot). Where there is none, its column stays empty. Needs numpy, and
build/bin of the release preset.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[1]
TYPES = ("bf16", "f32")
VOCABULARY = 50257
SLOTS, SLOT_TOKENS = 32, 512  # of llama-server; the longest request here has 450 tokens
PATIENCE_SECONDS = 120


def say(text):
    print(text, file=sys.stderr, flush=True)


class Peer:
    """llama.cpp's programs, perhaps in a root of their own."""

    def __init__(self, root):
        self.root = pathlib.Path(root) if root else None
        self.found = (self.root is not None and (self.root / "usr/bin/llama-bench").exists()
                      if root else shutil.which("llama-bench") is not None)

    def command(self, *words):
        return [*(["chroot", str(self.root)] if self.root else []), *map(str, words)]

    def model(self, folder):
        """The path of FOLDER's GGUF file as the peer sees it."""
        path = folder / "model.gguf"
        if not self.root:
            return path
        seen = pathlib.Path("/tmp") / f"longrun-{folder.name}.gguf"
        inside = self.root / seen.relative_to("/")
        if not inside.exists() or inside.stat().st_mtime < path.stat().st_mtime:
            shutil.copyfile(path, inside)
        return seen


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def ask(url, path, body=None):
    request = urllib.request.Request(url + path, json.dumps(body).encode() if body else None,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def served(command, url):
    """Runs a server; yields (process, seconds from its start to the first token it answers)."""
    begun = time.monotonic()
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                ask(url, "/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 1,
                                             "model": "random"})
                break
            except (urllib.error.URLError, ConnectionError):
                if server.poll() is not None:
                    raise SystemExit(f"{command}: ended with {server.returncode}") from None
                if time.monotonic() - begun > PATIENCE_SECONDS:
                    raise
                time.sleep(0.005)
        yield server, time.monotonic() - begun
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def load(longrun, url, **flags):
    flags.setdefault("temperature", 0)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    answer = subprocess.run([longrun, "bench-serve", "--url", url, "--tokens", str(VOCABULARY),
                             "--json", *words],
                            capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise SystemExit(f"bench-serve {words}: {answer.stderr or answer.stdout}")
    return json.loads(answer.stdout)


def counter(page, name):
    found = re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE)
    return float(found[1])


def http_seconds(pid):
    """Processor time of the threads that write answers and speak HTTP."""
    ticks = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name, fields = (thread / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        if name in ("lr-deliver", "lr-http", "lr-handler"):
            ticks += sum(map(int, fields.split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Figures:
    """Each figure's rounds, in the order in which they came."""

    def __init__(self):
        self.rounds = {}

    def add(self, key, value):
        self.rounds.setdefault(key, []).append(value)

    def median(self, key):
        return statistics.median(self.rounds[key]) if key in self.rounds else None


def loading(figures, folder):
    """500 MB of f32 from a cold disk, beside reading them."""
    said = subprocess.run([SOURCE / "build/bin/loading_bench", folder, "f32"], capture_output=True,
                          text=True, check=True)
    for key, pattern in (("read", "read from a cold"), ("cold", "loaded from a cold"),
                         ("warm", "loaded from the page")):
        found = re.search(rf"{pattern}\D+([\d.]+)", said.stdout)
        figures.add(("load", key, "ours"), float(found[1]))


def bare(figures, peer, folders, kind):
    """Prompts and decoding without a server."""
    tool = SOURCE / "build/bin/serving_throughput"
    said = subprocess.run([tool, folders[kind], kind], capture_output=True, text=True, check=True)
    for key, pattern in (("prompt", r"prompt of 512 +([\d.]+)"), ("alone", r"128 tokens +([\d.]+)"),
                         ("16", r"16 sequences: 64 tokens each +([\d.]+)"),
                         ("32", r"32 sequences: 64 tokens each +([\d.]+)")):
        figures.add((kind, key, "ours"), float(re.search(pattern, said.stdout)[1]))
    if not peer.found:
        return
    said = subprocess.run(peer.command("llama-bench", "-m", peer.model(folders[kind]), "-p", 512,
                                       "-n", 128, "-t", os.cpu_count(), "-r", 2, "-o", "json"),
                          capture_output=True, text=True, check=True)
    for row in json.loads(said.stdout):
        key = "prompt" if row["n_prompt"] else "alone"
        figures.add((kind, key, "peer"), row["avg_ts"])


def loads(figures, longrun, url, side):
    """What both servers are put through."""
    for clients in (1, 16, 32):
        made = load(longrun, url, clients=clients, prompt_tokens=16, output_tokens=128,
                    requests=max(4, 2 * clients), warm_up=clients)
        figures.add(("served", f"decode {clients}", side), made["output_tokens_per_second"])
    made = load(longrun, url, clients=32, prompt_tokens=256, output_tokens=64, requests=96,
                warm_up=32, seed=time.time_ns() % 10**6)
    figures.add(("served", "loop", side), made["output_tokens_per_second"])
    figures.add(("served", "loop ttft", side), made["ttft_seconds"]["p50"])


def our_server(figures, longrun, folder):
    url = f"http://127.0.0.1:{free_port()}"
    words = [longrun, "serve", folder, "--name", "random", "--port", url.rsplit(":", 1)[1]]
    with served(words, url):
        pass  # what came before may have had the page cache
    with served(words, url) as (server, first):
        figures.add(("served", "start", "ours"), first)
        loads(figures, longrun, url, "ours")
        # Work that 50 requests with 400 tokens in common cause: 400 once, and 50 × their own.
        before = counter(ask(url, "/metrics"), "longrun:prefill_tokens_computed_total")
        load(longrun, url, clients=50, requests=50, shared_prefix=400, prompt_tokens=32,
             output_tokens=8, seed=time.time_ns() % 10**6)
        after = counter(ask(url, "/metrics"), "longrun:prefill_tokens_computed_total")
        once = 400 + 50 * 32
        figures.add(("served", "prefix", "ours"), 100 * ((after - before) / once - 1))
        overhead(figures, longrun, url, server.pid)


def overhead(figures, longrun, url, pid):
    """What a step of 16 sequences costs beside its arithmetic, in parts of the arithmetic."""
    for name, more in (("greedy", {}), ("sampled", {"temperature": 1})):
        page, http = ask(url, "/metrics"), http_seconds(pid)
        load(longrun, url, clients=16, prompt_tokens=16, output_tokens=256, requests=32, **more)
        after, http = ask(url, "/metrics"), http_seconds(pid) - http
        step, engine = (counter(after, key) - counter(page, key)
                        for key in ("longrun:step_seconds_total",
                                    "longrun:engine_overhead_seconds_total"))
        figures.add(("overhead", f"engine {name}", "ours"), 100 * engine / step)
        # Of the processor time that a step has: HTTP runs beside it, on the same cores.
        figures.add(("overhead", f"http {name}", "ours"), 100 * http / os.cpu_count() / step)


def peer_server(figures, peer, longrun, folder):
    port = free_port()
    words = peer.command("llama-server", "-m", peer.model(folder), "-np", SLOTS, "-c",
                         SLOTS * SLOT_TOKENS, "-t", os.cpu_count(), "--port", port)
    with served(words, f"http://127.0.0.1:{port}"):
        pass
    with served(words, f"http://127.0.0.1:{port}") as (_, first):
        figures.add(("served", "start", "peer"), first)
        loads(figures, longrun, f"http://127.0.0.1:{port}", "peer")


ROWS = (
    # what, key, target, unit
    ("bf16, prompt of 512 tokens", ("bf16", "prompt"), "≥ 2,200", "tok/s"),
    ("bf16, decode alone, 128 tokens", ("bf16", "alone"), "≥ 95", "tok/s"),
    ("bf16, decode, 16 sequences", ("bf16", "16"), "≥ 700", "tok/s"),
    ("bf16, decode, 32 sequences", ("bf16", "32"), "≥ 900", "tok/s"),
    ("f32, prompt of 512 tokens", ("f32", "prompt"), "≥ 223", "tok/s"),
    ("f32, decode alone, 128 tokens", ("f32", "alone"), "≥ 50", "tok/s"),
    ("served: 1 client, 16 in, 128 out", ("served", "decode 1"), "", "tok/s"),
    ("served: 16 clients, 16 in, 128 out", ("served", "decode 16"), "", "tok/s"),
    ("served: 32 clients, 16 in, 128 out", ("served", "decode 32"), "", "tok/s"),
    ("served: 32 clients, 256 in, 64 out", ("served", "loop"), "≥ 3 ×", "tok/s"),
    ("  its median time to first token", ("served", "loop ttft"), "", "s"),
    ("start to first token, from a warm page cache", ("served", "start"), "≤ 1.5", "s"),
    ("500 MB of f32 from a cold disk, ≤ reading it", ("load", "cold"), "", "s"),
    ("  reading it, as cat does", ("load", "read"), "", "s"),
    ("  loaded from a warm page cache", ("load", "warm"), "", "s"),
    ("50 requests, 400 tokens in common: above once", ("served", "prefix"), "≤ 5", "%"),
    ("16 sequences: engine beside a step, greedy", ("overhead", "engine greedy"), "≤ 3", "%"),
    ("  HTTP, greedy", ("overhead", "http greedy"), "  together", "%"),
    ("  engine, temperature 1", ("overhead", "engine sampled"), "", "%"),
    ("  HTTP, temperature 1", ("overhead", "http sampled"), "", "%"),
)


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(figures):
    lines = [("what", "target", "longrun", "llama.cpp", "ratio")]
    for what, key, target, unit in ROWS:
        ours, peer = figures.median((*key, "ours")), figures.median((*key, "peer"))
        ratio = f"{ours / peer:.2f}" if ours and peer else ""
        lines.append((what, f"{target} {unit}".strip(), f"{number(ours)} {unit}",
                      f"{number(peer)} {unit}" if peer is not None else "–", ratio))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-root", help="folder of a Debian system with llama.cpp")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=pathlib.Path,
                        default=pathlib.Path(tempfile.gettempdir()) / "longrun-random-gpt2",
                        help="where the random weights are kept between calls")
    parser.add_argument("--json", action="store_true", help="every round's figures")
    flags = parser.parse_args()
    longrun = SOURCE / "build/bin/longrun"
    if not longrun.exists():
        raise SystemExit(f"{longrun} is missing: scripts/test builds it")
    peer = Peer(flags.peer_root)
    if not peer.found:
        say("llama.cpp is not there (--help says how to have it): its column stays empty")
    folders = {kind: flags.models / f"random-{kind}" for kind in TYPES}
    for kind, folder in folders.items():
        if not (folder / "model.gguf").exists():
            say(f"writing random weights, {kind}")
            subprocess.run([sys.executable, SOURCE / "bench/random_gpt2.py", folder, "--type",
                            kind], check=True)
    figures = Figures()
    for turn in range(flags.rounds):
        for kind in TYPES:
            say(f"round {turn + 1} of {flags.rounds}: {kind} without a server")
            bare(figures, peer, folders, kind)
        say(f"round {turn + 1} of {flags.rounds}: loading")
        loading(figures, folders["f32"])
        say(f"round {turn + 1} of {flags.rounds}: longrun serve")
        our_server(figures, longrun, folders["bf16"])
        if peer.found:
            say(f"round {turn + 1} of {flags.rounds}: llama-server")
            peer_server(figures, peer, longrun, folders["bf16"])
    if flags.json:
        print(json.dumps({" ".join(key): values for key, values in figures.rounds.items()}))
    else:
        print(table(figures))


if __name__ == "__main__":
    main()
