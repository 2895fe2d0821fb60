#!/usr/bin/env python3
"""What one tenant's hostile JSON schemas do to the other tenants of `longrun serve`, and what
ordinary ones cost.

    python3 bench/serving_masks.py [--model FOLDER] [--hostile 48] [--requests 40]

Serves a GPT-2 of 124 M parameters with random weights (bench/random_gpt2.py) to two tenants. One
asks, one after the other, for short completions, without company, beside as many long ordinary
completions of the other tenant as come with hostile schemas next, and beside those: each of its
masks is the most work that a mask may be. Then 16 ordinary requests at once, in JSON mode and by a
small schema, beside plain ones. Needs build/bin of the release preset.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from served import served

SOURCE = pathlib.Path(__file__).resolve().parents[1]
KEYS = """tenants:
  - {name: victim, keys: [sk-victim]}
  - {name: attacker, keys: [sk-attacker]}
"""
# Each place in the text may be any of some 120 of the pattern's, so each byte of each token has to
# be looked at from all of them.
HOSTILE = {"type": "string", "pattern": "^(.?){120}[a-z]{30}$"}
SMALL = {"type": "object", "additionalProperties": False, "required": ["name", "age", "tags"],
         "properties": {"name": {"type": "string", "maxLength": 40},
                        "age": {"type": "integer", "minimum": 0, "maximum": 150},
                        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20},
                                 "minItems": 4, "maxItems": 8}}}


def schema(value):
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": value, "strict": True}}


def request(key, body):
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}, json.dumps(
        {"model": "random", "temperature": 1, **body})


def complete(port, key, **body):
    """(seconds, tokens) of one completion."""
    made = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    headers, text = request(key, body)
    begin = time.monotonic()
    made.request("POST", "/v1/completions", text, headers)
    answer = made.getresponse()
    reply = json.loads(answer.read())
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {reply}")
    made.close()
    return time.monotonic() - begin, reply["usage"]["completion_tokens"]


class Company:
    """Requests of one tenant that are kept running: one that ends is asked anew."""

    def __init__(self, port, count, **body):
        self.port, self.body = port, body
        self.stopped, self.tokens, self.sockets = False, 0, []
        self.threads = [threading.Thread(target=self.keep, args=(i,)) for i in range(count)]

    def keep(self, number):
        while not self.stopped:
            made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            self.sockets.append(made)
            headers, text = request("sk-attacker", {**self.body, "stream": True, "seed": number,
                                                    "prompt": f"{number} is"})
            try:
                made.request("POST", "/v1/completions", text, headers)
                answer = made.getresponse()
                if answer.status != 200:
                    time.sleep(0.2)
                    continue
                for line in answer:
                    self.tokens += line.startswith(b"data: {") and b'"text"' in line
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                pass

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        time.sleep(3)
        return self

    def __exit__(self, *_):
        self.stopped = True
        for made in self.sockets:
            with contextlib.suppress(OSError, AttributeError):
                made.sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()


def short_ones(port, count):
    return [complete(port, "sk-victim", prompt=f"The year {i} was", max_tokens=4, seed=i)[0]
            for i in range(count)]


def say(name, seconds, rest=""):
    print(f"{name:<44}{statistics.median(seconds) * 1e3:>8.0f} ms{max(seconds) * 1e3:>8.0f} ms"
          f"{rest}", flush=True)


def many(port, count, **body):
    """Tokens per second of so many requests at once."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        begin = time.monotonic()
        done = list(pool.map(lambda i: complete(port, "sk-victim", prompt=f"{i}:", seed=i,
                                                max_tokens=96, **body), range(count)))
    return sum(tokens for _, tokens in done) / (time.monotonic() - begin)


def measure(folder, flags):
    keys = pathlib.Path(folder) / "keys.yaml"
    keys.write_text(KEYS)
    keys.chmod(0o600)
    with served(flags.model, "--name", "random", "--api-keys", keys) as (_, port):
        short_ones(port, 3)
        print(f"{'completions of 4 tokens of another tenant':<44}{'median':>11}{'worst':>11}")
        say("alone", short_ones(port, flags.requests))
        for name, body in (("plain requests", {"ignore_eos": True}),
                           ("hostile schemas", {"response_format": schema(HOSTILE)})):
            with Company(port, flags.hostile, max_tokens=900, **body) as company:
                begin, tokens = time.monotonic(), company.tokens
                seconds = short_ones(port, flags.requests)
                rate = (company.tokens - tokens) / (time.monotonic() - begin)
            say(f"beside {flags.hostile} {name}", seconds, f"   they get {rate:.0f} tokens/s")
            time.sleep(1)
        print(f"{'16 at once, 96 tokens each':<44}{'tokens/s':>11}")
        for name, body in (("plain", {"ignore_eos": True}),
                           ("JSON mode", {"response_format": {"type": "json_object"}}),
                           ("a small schema", {"response_format": schema(SMALL)})):
            rates = [many(port, 16, **body) for _ in range(flags.rounds)]
            print(f"{name:<44}{statistics.median(rates):>11.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="a folder; by default it is made")
    parser.add_argument("--hostile", type=int, default=48)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if flags.model is None:
            flags.model = pathlib.Path(folder) / "random"
            subprocess.run([sys.executable, SOURCE / "bench/random_gpt2.py", flags.model],
                           check=True)
        measure(folder, flags)


if __name__ == "__main__":
    main()
