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
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from clients import CONTEXT, PATIENCE, Client, Gone

BIN = pathlib.Path(os.environ["LONGRUN_BIN"])
SOURCE = pathlib.Path(os.environ["LONGRUN_SOURCE"])
ROUNDS = int(os.environ.get("LONGRUN_TEST_ROUNDS", "1"))
CLIENTS = 12
REQUESTS = 8  # of each client, before those that meet the end
# The one that has numpy, whatever runs the tests.
PYTHON = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable
SANITIZER = re.compile(r"Sanitizer|runtime error:")
KEYS = ("sk-of-the-one", "sk-of-the-two")


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

    def test_clients_of_every_kind_at_once_over_tls(self):
        paths = [self.folder / "certificate.pem", self.folder / "key.pem"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a",
                        "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
        tls = ssl.create_default_context(cafile=paths[0])
        tls.check_hostname = False
        for round_ in range(ROUNDS):
            with self.subTest(round=round_):
                self.load(round_, ("--tls-certificate", *paths[:1], "--tls-key", *paths[1:]), tls)

    def load(self, round_, flags, tls=None):
        server = self.start("--api-keys", self.tenants(), "--memory", self.few_blocks(*flags),
                            "--max-wait", "10m", "--drain", "2m", *flags)
        clients = [Client(server.port, KEYS[i % 2], 1000 * round_ + i, tls) for i in range(CLIENTS)]
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
