"""`longrun serve` under clients of every kind at once, told to stop with answers under way; and
killed while it acknowledges feedback.

Made to be run under the sanitizers too (CONTRIBUTING.md): what they say on the server's standard
error fails a test. LONGRUN_TEST_ROUNDS (1) repeats each with other seeds.
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = pathlib.Path(os.environ["LONGRUN_BIN"])
SOURCE = pathlib.Path(os.environ["LONGRUN_SOURCE"])
ROUNDS = int(os.environ.get("LONGRUN_TEST_ROUNDS", "1"))
PATIENCE = 120
CLIENTS = 12
REQUESTS = 8  # of each client, before those that meet the end
CONTEXT = 256
# The one that has numpy, whatever runs the tests.
PYTHON = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable
SANITIZER = re.compile(r"Sanitizer|runtime error:")
KEYS = ("sk-of-the-one", "sk-of-the-two")
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["a", "b"], "properties": {
    "a": {"enum": ["x", "é"]}, "b": {"type": "array", "maxItems": 2, "items": {"type": "boolean"}}}}


class Server:

    def __init__(self, model, folder, *flags):
        self.errors = tempfile.TemporaryFile("w+", dir=folder)
        self.child = subprocess.Popen(
            [BIN / "longrun", "serve", model, "--json", "--port", "0", *map(str, flags)],
            stdout=subprocess.PIPE, stderr=self.errors, text=True)
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError(self.said())
        self.port = int(json.loads(line)["url"].rsplit(":", 1)[1])

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()
        self.errors.close()


class Gone(Exception):
    """The server closed the connection before it began to answer."""


class Client:
    """Has a connection of its own. A refusal is an answer; an answer cut short is a failure."""

    def __init__(self, port, key, seed):
        self.port, self.key, self.random = port, key, random.Random(seed)
        self.http = http.client.HTTPConnection("127.0.0.1", port, PATIENCE)

    def answer_to(self, path, body):
        self.http.request("GET" if body is None else "POST", path,
                          None if body is None else json.dumps(body),
                          {"Content-Type": "application/json",
                           "Authorization": f"Bearer {self.key}"})
        return self.http.getresponse()

    def ask(self, path, body=None):
        """The status and the body, read as JSON where it is."""
        try:
            answer = self.answer_to(path, body)
        except ConnectionError:  # it rested for long, perhaps, while others were used
            self.http.close()
            try:
                answer = self.answer_to(path, body)
            except ConnectionError as error:
                raise Gone from error
        text = answer.read().decode()
        is_json = answer.headers["Content-Type"].startswith("application/json")
        return answer.status, json.loads(text) if is_json else text

    def fields(self, **more):
        prompt = [self.random.randrange(500) for _ in range(self.random.choice((1, 17, 90, 180)))]
        return {"model": "little", "prompt": prompt, "max_tokens": self.random.randrange(1, 60),
                "ignore_eos": True, **more}

    def raw(self, body, receive_bytes=None, cut=None):
        """A socket of its own on which the request was sent, or the first `cut` bytes of it."""
        text = json.dumps(body).encode()
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(("127.0.0.1", self.port))
        except ConnectionError as error:
            sock.close()
            raise Gone from error
        request = (f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.key}"
                   f"\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
                   ).encode() + text
        sock.sendall(request[:cut])
        return sock

    # Each kind of request. What it returns is checked against the rest.

    def greedy(self):
        body = {"model": "little", "prompt": [7, 8, 9] * 20, "max_tokens": 30, "temperature": 0,
                "ignore_eos": True}
        status, answer = self.ask("/v1/completions", body)
        return ("greedy", answer["choices"][0]["text"]) if status == 200 else (status, answer)

    def sampled(self):
        return self.ask("/v1/completions", self.fields(
            n=self.random.randrange(1, 4), logprobs=2, seed=self.random.randrange(9),
            stop=["zz", "\n\n"], presence_penalty=0.5, echo=True))

    def stream(self):
        body = self.fields(stream=True, stream_options={"include_usage": True})
        status, text = self.ask("/v1/completions", body)
        if status != 200:
            return status, text
        events = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
        assert events[-1] == "[DONE]", events[-1]
        told = [json.loads(event) for event in events[:-1]]
        if any("error" in event for event in told):
            return 500, told[-1]
        assert told[-1]["usage"]["completion_tokens"] == body["max_tokens"], told[-1]
        return 200, told

    def leave_a_stream(self):
        with self.raw(self.fields(max_tokens=CONTEXT, n=2, stream=True)) as sock:
            for _ in range(self.random.randrange(3)):
                sock.recv(self.random.randrange(1, 2000))
            if self.random.random() < 0.5:  # a reset, not an end
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return 200, None

    def read_slowly(self):
        try:
            return self.heard_slowly()
        except ConnectionError as error:  # too slow for the end of a server
            raise Gone from error

    def heard_slowly(self):
        heard = b""
        with self.raw(self.fields(prompt=[1], max_tokens=80, stream=True), receive_bytes=1 << 12) \
                as sock:
            while not heard.endswith(b"0\r\n\r\n") and (part := sock.recv(97)):
                heard += part
                if self.random.random() < 0.05:
                    time.sleep(0.01)
                if not heard.startswith(b"HTTP/1.1 200") and len(heard) > 13:
                    return int(heard[9:12]), {"error": {}}
        if not heard:
            raise Gone
        assert b"data: [DONE]" in heard, heard[-300:]
        return 200, None

    def leave_in_a_request(self):
        with self.raw(self.fields(), cut=self.random.randrange(1, 200)):
            pass
        return 200, None

    def schema(self):
        status, answer = self.ask("/v1/chat/completions", {
            "model": "little", "max_tokens": 100,
            "messages": [{"role": "user", "content": self.random.choice(("a", "é" * 20))}],
            "response_format": {"type": "json_schema",
                                "json_schema": {"name": "s", "schema": SCHEMA}}})
        if status == 200 and answer["choices"][0]["finish_reason"] == "stop":
            said = json.loads(answer["choices"][0]["message"]["content"])
            assert set(said) == {"a", "b"} and said["a"] in ("x", "é"), said
        return status, answer

    def embed(self):
        status, answer = self.ask("/v1/embeddings", {
            "model": "little", "input": ["a", "b" * self.random.randrange(1, 40), "é"],
            "encoding_format": self.random.choice(("float", "base64"))})
        if status == 200:
            assert len(answer["data"]) == 3
        return status, answer

    def tokens(self):
        text = "never trust " * self.random.randrange(1, 30)
        status, answer = self.ask("/tokenize", {"model": "little", "prompt": text})
        if status != 200:
            return status, answer
        status, answer = self.ask("/detokenize", {"model": "little", "tokens": answer["tokens"]})
        if status == 200:
            assert answer["prompt"] == text
        return status, answer

    def judge(self):
        status, answer = self.ask("/v1/completions", self.fields(max_tokens=2))
        if status != 200:
            return status, answer
        return self.ask("/v1/feedback", {"completion_id": answer["id"], "rating": 1})

    def look(self):
        status, page = self.ask(self.random.choice(("/metrics", "/v1/models", "/version")))
        assert status == 200 and page
        return status, page

    def wrong(self):
        status, answer = self.ask("/v1/completions", self.random.choice((
            self.fields(model="other"), self.fields(temperature=9), {"model": "little"},
            self.fields(prompt=[10 ** 9]), self.fields(prompt=[1] * 9999))))
        assert status in (400, 404, 422, 429, 503), (status, answer)
        return status, answer

    def anything(self):
        """(kind, status, answer)"""
        ask = self.random.choice((self.greedy, self.greedy, self.sampled, self.stream, self.stream,
                                  self.leave_a_stream, self.read_slowly, self.leave_in_a_request,
                                  self.schema, self.embed, self.tokens, self.judge, self.look,
                                  self.wrong))
        status, answer = ask()
        if isinstance(status, int) and status >= 400:
            assert "error" in answer, answer
            assert status in (400, 404, 422, 429, 500, 503), (ask.__name__, status, answer)
        return ask.__name__, status, answer


class Load(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="longrun-load-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model = self.folder / "little"
        subprocess.run([PYTHON, SOURCE / "bench" / "random_gpt2.py", self.model, "--layers", "8",
                        "--width", "64", "--heads", "4", "--context", str(CONTEXT), "--vocab",
                        "600", "--type", "f32"], check=True)

    def start(self, *flags):
        server = Server(self.model, self.folder, *flags)
        self.addCleanup(server.close)
        return server

    def tenants(self):
        path = self.folder / "tenants.yaml"
        path.write_text("tenants:\n" + "".join(f"  - name: t{i}\n    keys: [{key}]\n"
                                               for i, key in enumerate(KEYS)))
        return path

    def few_blocks(self, *flags):
        """--memory with which a few sequences fit and others must give theirs back."""
        plan = json.loads(subprocess.run(
            [BIN / "longrun", "serve", self.model, "--json", "--plan", "--memory", "2G", *flags],
            capture_output=True, text=True, check=True).stdout)
        program_differs = 6_000_000  # from one start to the next
        return int(plan["weight_bytes"] + plan["activation_bytes"] + plan["reserved_bytes"] +
                   2 * CONTEXT * plan["bytes_per_token"] + program_differs)

    def test_clients_of_every_kind_at_once_and_then_the_end(self):
        kinds = ((), ("--speculate", "4"), ("--cache", "int8"),
                 ("--max-step-tokens", "64", "--max-sequences", "16"), ("--threads", "1"),
                 ("--weights", "bf16"))
        for round_ in range(ROUNDS):
            flags = kinds[round_ % len(kinds)]
            with self.subTest(round=round_, flags=flags):
                self.load(round_, flags)

    def load(self, round_, flags):
        server = self.start("--api-keys", self.tenants(), "--memory", self.few_blocks(*flags),
                            "--max-wait", "10m", "--drain", "2m", *flags)
        clients = [Client(server.port, KEYS[i % 2], 1000 * round_ + i) for i in range(CLIENTS)]
        told_to_stop = threading.Event()
        begun = threading.Semaphore(0)

        def work(client):
            answers = []
            try:
                while True:
                    answers.append(client.anything())
                    if len(answers) == REQUESTS:
                        begun.release()
            except Gone:
                self.assertTrue(told_to_stop.is_set(), answers[-1:])
                return answers
            finally:
                client.http.close()
                if len(answers) < REQUESTS:
                    begun.release()

        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            working = [pool.submit(work, client) for client in clients]
            for _ in range(CLIENTS):
                begun.acquire()
            told_to_stop.set()
            server.child.send_signal(signal.SIGTERM)
            answers = [answer for one in working for answer in one.result()]
        self.assertEqual(server.child.wait(PATIENCE), 0, server.said())
        self.assertNotRegex(server.said(), SANITIZER)
        texts = {text for kind, status, text in answers if status == "greedy"}
        self.assertLessEqual(len(texts), 1, "company changed a text")
        self.assertGreater(sum(status in (200, "greedy") for _, status, _ in answers), CLIENTS)
        self.assertFalse([a for a in answers if a[1] == 500], "an answer broke off")

    def test_feedback_that_was_acknowledged_outlives_kill_9(self):
        random_ = random.Random(1)
        acknowledged, kills = set(), 3 * ROUNDS
        kept = self.model / "feedback" / "feedback.jsonl"
        for kill in range(kills):
            server = self.start()
            first = threading.Event()

            def judge(seed, port=server.port, first=first):
                client = Client(port, "", seed)
                try:
                    while True:
                        status, answer = client.judge()
                        self.assertEqual(status, 200, answer)
                        acknowledged.add(answer["id"])
                        first.set()
                except (Gone, ConnectionError, http.client.HTTPException):
                    client.http.close()

            judges = [threading.Thread(target=judge, args=(4 * kill + i,)) for i in range(4)]
            for thread in judges:
                thread.start()
            self.assertTrue(first.wait(PATIENCE))
            time.sleep(random_.random() * 0.3)
            server.child.kill()
            for thread in judges:
                thread.join()
            # Each as its own line, though the line before may be torn.
            lines = kept.read_bytes().split(b"\n")
            found = {json.loads(line)["id"] for line in lines if line.endswith(b"}")}
            self.assertEqual(acknowledged - found, set())
            self.assertLessEqual(sum(not line.endswith(b"}") for line in lines), kill + 2)
            server.close()
        print(f"{len(acknowledged)} acknowledged, {kills} kills")


if __name__ == "__main__":
    unittest.main(verbosity=2)
