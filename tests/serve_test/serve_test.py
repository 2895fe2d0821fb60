"""`longrun serve` as a process: starts, answers, refuses what it cannot serve, drains and ends.

Needs numpy for the weights of its little models, and the binaries in $LONGRUN_BIN.
"""

import json
import os
import pathlib
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
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ["LONGRUN_BIN"])
SOURCE = pathlib.Path(os.environ["LONGRUN_SOURCE"])
PATIENCE = 60
# The one that has numpy, whatever runs the tests.
PYTHON = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable


def make_model(folder):
    subprocess.run([PYTHON, SOURCE / "bench" / "random_gpt2.py", folder, "--layers", "2",
                    "--width", "64", "--heads", "4", "--context", "256", "--vocab", "600",
                    "--type", "f32"], check=True)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


class Serve(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="longrun-serve-", dir="/tmp"))
        cls.model = cls.folder / "little"
        make_model(cls.model)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        self.children = []

    def tearDown(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.communicate()

    def words(self, model, *flags):
        port = [] if "--port" in flags else ["--port", "0"]
        return [BIN / "longrun", "serve", model, "--json", *port, *map(str, flags)]

    def start(self, *flags, model=None):
        """The server's process and what it said at start."""
        child = subprocess.Popen(self.words(model or self.model, *flags), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        self.children.append(child)
        line = child.stdout.readline()
        if not line:
            self.fail(child.communicate()[1])
        return child, json.loads(line)

    def refused(self, model, *flags):
        answer = subprocess.run(self.words(model, *flags), capture_output=True, text=True,
                                timeout=PATIENCE, check=False)
        self.assertNotIn(answer.returncode, (0, -6, -11), answer)
        self.assertNotIn("what():", answer.stderr)
        return answer.stderr

    def words_of_its_help(self):
        return subprocess.run([BIN / "longrun-worker", "--help"], capture_output=True, text=True,
                              check=True).stdout

    def ask(self, said, path, body=None, headers=None):
        request = urllib.request.Request(said["url"] + path, json.dumps(body).encode()
                                         if body is not None else None,
                                         {"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self, said):
        deadline = time.monotonic() + PATIENCE
        while self.ask(said, "/health")[0] != 200:
            self.assertLess(time.monotonic(), deadline, "never became healthy")
            time.sleep(0.02)

    def complete(self, said, prompt=(1, 2, 3), **more):
        status, text = self.ask(said, "/v1/completions", {
            "model": "little", "prompt": list(prompt), "max_tokens": 16, "temperature": 0,
            "ignore_eos": True, **more})
        self.assertEqual(status, 200, text)
        return json.loads(text)


class Plan(Serve):

    def plan(self, *flags):
        answer = subprocess.run(self.words(self.model, "--plan", *flags), capture_output=True,
                                text=True, timeout=PATIENCE, check=True)
        return json.loads(answer.stdout)

    def test_the_cache_is_as_precise_as_the_weights_where_nothing_else_is_asked_for(self):
        self.assertEqual(self.plan()["cache_type"], "f32")
        self.assertEqual(self.plan("--weights", "bf16")["cache_type"], "bf16")
        self.assertEqual(self.plan("--weights", "int8")["cache_type"], "bf16")
        self.assertEqual(self.plan("--cache", "int8")["cache_type"], "int8")

    def test_a_plan_adds_up(self):
        plan = self.plan("--memory", "2G")
        self.assertEqual(plan["tokens"], plan["blocks"] * plan["block_tokens"])
        self.assertEqual(plan["cache_bytes"], plan["tokens"] * plan["bytes_per_token"])
        self.assertLessEqual(plan["weight_bytes"] + plan["activation_bytes"] +
                             plan["reserved_bytes"] + plan["cache_bytes"], plan["limit_bytes"])
        self.assertTrue(any(row["at_once"] > 0 for row in plan["sequences"]))
        self.assertAlmostEqual(sum(plan["reserved"].values()), plan["reserved_bytes"], delta=10)

    def test_the_process_is_planned_with_all_that_clients_can_make_it_hold(self):
        plain = self.plan("--memory", "2G")["reserved"]
        self.assertGreaterEqual(plain["requests and answers"], 128 << 20)
        self.assertGreaterEqual(plain["JSON formats"], 128 << 20)
        self.assertGreater(plain["program"], 10e6)
        with_tls = self.plan("--memory", "2G", "--tls-certificate", "x", "--tls-key", "x")
        self.assertGreater(with_tls["reserved"]["connections"], 2 * plain["connections"])

    def test_what_a_refusal_advises_holds(self):
        said = self.refused(self.model, "--plan", "--memory", "1M")
        for flags in said.split("what would fit: ")[1].strip().split(", or "):
            with self.subTest(flags):
                self.plan(*flags.split())
        self.assertIn("more than", self.refused(self.model, "--plan", "--memory", "1P"))

    def test_a_context_may_be_shorter_than_the_models(self):
        self.assertEqual(self.plan("--context", "60")["sequences"][0]["tokens"], 60)
        self.assertIn("1 to 256", self.refused(self.model, "--plan", "--context", "257"))

    def test_a_run_is_named_before_or_after_flags(self):
        run = self.folder / "state" / "runs" / "done"
        run.mkdir(parents=True)
        (run / "model").symlink_to(self.model)
        for words in (["done", "--plan", "--json"], ["--plan", "--json", "done"]):
            answer = subprocess.run([BIN / "longrun", "serve", *words], capture_output=True,
                                    text=True, timeout=PATIENCE, check=True,
                                    env=os.environ | {"LONGRUN_STATE": str(self.folder / "state")})
            self.assertIn("blocks", json.loads(answer.stdout))


class Answers(Serve):

    def test_a_completion_is_the_same_alone_in_company_and_again(self):
        _, said = self.start()
        self.ready(said)
        alone = self.complete(said)["choices"][0]["text"]
        answers = [None] * 24
        prompts = [(1, 2, 3) if i % 2 else [i] * (i * 9 + 1) for i in range(24)]

        def ask(i):
            answers[i] = self.complete(said, prompts[i])["choices"][0]["text"]

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i in range(1, 24, 2):
            self.assertEqual(answers[i], alone)
        for i in range(0, 24, 6):
            self.assertEqual(answers[i], self.complete(said, prompts[i])["choices"][0]["text"])

    def test_speculation_and_an_int8_cache_change_speed_not_the_order_of_things(self):
        texts = set()
        for flags in ((), ("--speculate", 5), ("--no-prefix-sharing",),
                      ("--max-step-tokens", 32, "--max-sequences", 16), ("--block-tokens", 32),
                      ("--threads", 1)):
            _, said = self.start(*flags)
            self.ready(said)
            prompt = [7, 8, 9, 10] * 20
            texts.add(self.complete(said, prompt, max_tokens=40)["choices"][0]["text"])
        self.assertEqual(len(texts), 1)
        for flags in (("--cache", "int8"), ("--weights", "int8"), ("--weights", "bf16")):
            _, said = self.start(*flags)
            self.ready(said)
            usage = self.complete(said)["usage"]
            self.assertEqual(usage["completion_tokens"], 16)

    def test_libtorch_gives_the_answers_that_the_own_loops_give(self):
        if "without libtorch" in self.words_of_its_help():
            self.skipTest("longrun-worker was built without libtorch")
        texts = set()
        for device in ("cpu", "torch:cpu"):
            _, said = self.start("--device", device)
            self.ready(said)
            self.assertGreater(said["peak_flops"], 0)
            for _ in range(2):  # the second finds its prompt's keys
                answer = self.complete(said, [7, 8, 9, 10] * 20, max_tokens=40)
                texts.add(answer["choices"][0]["text"])
        self.assertEqual(len(texts), 1)

    def test_keys_guard_it_and_tenants_share_no_prefix(self):
        keys = self.folder / "tenants.yaml"
        keys.write_text("tenants:\n  - name: one\n    keys: [sk-of-the-one]\n"
                        "  - name: two\n    keys: [sk-of-the-two]\n    requests_per_minute: 2\n")
        _, said = self.start("--api-keys", keys)
        self.ready(said)
        body = {"model": "little", "prompt": list(range(200)), "max_tokens": 1}
        self.assertEqual(self.ask(said, "/v1/completions", body)[0], 401)
        cached = []
        for key in ("sk-of-the-one", "sk-of-the-one", "sk-of-the-two", "sk-of-the-two"):
            status, text = self.ask(said, "/v1/completions", body,
                                    {"Authorization": f"Bearer {key}"})
            self.assertEqual(status, 200, text)
            details = json.loads(text)["usage"].get("prompt_tokens_details") or {}
            cached.append(details.get("cached_tokens", 0))
        self.assertEqual([n > 0 for n in cached], [False, True, False, True])
        self.assertEqual(self.ask(said, "/v1/completions", body,
                                  {"Authorization": "Bearer sk-of-the-two"})[0], 429)

    def becomes(self, said, name, value):
        """A step's last token is on its way before the step is counted."""
        deadline = time.monotonic() + PATIENCE
        while self.metric(said, name) != value and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(self.metric(said, name), value, name)

    def test_the_page_of_metrics_counts_what_was_done(self):
        _, said = self.start()
        self.ready(said)
        self.becomes(said, "vllm:generation_tokens_total", 1)  # the self-test's
        self.complete(said)
        self.becomes(said, "vllm:generation_tokens_total", 17)
        self.becomes(said, "vllm:num_requests_running", 0)
        self.assertGreater(self.metric(said, "longrun:peak_flops"), 0)
        self.assertGreater(self.metric(said, "longrun:http_connections"), 0)  # the one that asks

    @unittest.skipUnless(shutil.which("promtool"), "there is no promtool (package prometheus)")
    def test_prometheus_reads_the_page_of_metrics(self):
        name = 'an "odd" name, with \\ and é'
        _, said = self.start("--name", name)
        self.ready(said)
        self.complete(said, model=name)
        _, page = self.ask(said, "/metrics")
        read = subprocess.run(["promtool", "check", "metrics"], input=page, text=True,
                              capture_output=True, check=False)
        advice = (read.stdout + read.stderr).splitlines()
        self.assertIn(read.returncode, (0, 3), advice)  # 3: it was read, and there is advice
        # vLLM's names are as they are, and ours follow them.
        self.assertEqual([line for line in advice if not line.startswith("vllm:")
                          and not line.endswith("metric names should not contain ':'")
                          and line], [])

    @unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
    def test_an_address_of_ipv6_is_said_as_clients_read_it(self):
        _, said = self.start("--host", "::1")
        self.assertTrue(said["url"].startswith("http://[::1]:"), said)
        self.ready(said)

    def metric(self, said, name):
        _, page = self.ask(said, "/metrics")
        for line in page.splitlines():
            if line.startswith((name + "{", name + " ")):
                return float(line.rsplit(" ", 1)[1])
        self.fail(f"no {name} in\n{page}")


class Watched(Serve):

    def bench(self, said, *flags, code=0):
        answer = subprocess.run([BIN / "longrun", "bench-serve", "--url", said["url"], "--tokens",
                                 "600", "--json", *flags], capture_output=True, text=True,
                                timeout=PATIENCE, check=False)
        self.assertEqual(answer.returncode, code, answer.stderr)
        return json.loads(answer.stdout)

    def watch(self, said, *flags):
        child = subprocess.Popen([BIN / "longrun", "top", said["url"], "--json", *flags],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.children.append(child)
        return child

    def test_a_load_is_measured_and_seen(self):
        _, said = self.start()
        self.ready(said)
        report = self.bench(said, "--requests", "12", "--clients", "3", "--prompt-tokens", "20",
                            "--output-tokens", "uniform:5:10", "--slo", "e2e=60s")
        self.assertEqual((report["requests"], report["failed"], report["within_slo"]), (12, 0, 12))
        self.assertEqual(report["input_tokens"], 240)
        self.assertTrue(60 <= report["output_tokens"] <= 120, report)
        for name in ("ttft_seconds", "inter_token_seconds", "e2e_seconds"):
            q = report[name]
            self.assertTrue(0 < q["p50"] <= q["p90"] <= q["p99"] <= q["max"], report)
        seen = json.loads(self.watch(said, "--once", "--interval", "0.1").communicate()[0])
        self.assertEqual((seen["model"], seen["binds"]), ("little", "idle"))

    def test_a_load_tells_what_failed(self):
        _, said = self.start()
        self.ready(said)
        report = self.bench(said, "--requests", "2", "--prompt-tokens", "400", code=1)
        self.assertEqual(report["errors"], {"HTTP 400": 2})
        self.assertIn("256 tokens", report["error_examples"]["HTTP 400"])

    def test_a_watcher_waits_for_a_server_that_went_away(self):
        child, said = self.start()
        self.ready(said)
        top = self.watch(said, "--interval", "0.1")
        self.assertEqual(json.loads(top.stdout.readline())["running"], 0)
        child.kill()
        child.wait()
        self.assertIn("cannot reach", top.stderr.readline())
        self.start("--port", said["url"].rsplit(":", 1)[1])
        for _ in range(5):  # those from before it went, and one from after it came
            self.assertEqual(json.loads(top.stdout.readline())["model"], "little")
        top.terminate()
        self.assertTrue(all(json.loads(line) for line in top.communicate()[0].splitlines()))


class Ends(Serve):

    def stream(self, said, tokens):
        """A socket on which a long answer has begun."""
        port = int(said["url"].rsplit(":", 1)[1])
        body = json.dumps({"model": "little", "prompt": [1], "max_tokens": tokens, "stream": True,
                           "ignore_eos": True})
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        client.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}"
                       f"\r\n\r\n{body}".encode())
        self.addCleanup(client.close)
        self.assertIn(b"200 OK", client.recv(4096))
        return client

    def test_sigterm_finishes_what_is_under_way_and_then_ends(self):
        child, said = self.start()
        self.ready(said)
        client = self.stream(said, 200)
        child.send_signal(signal.SIGTERM)
        heard = b""
        while part := client.recv(65536):
            heard += part
        self.assertIn(b"[DONE]", heard)
        self.assertEqual(child.wait(PATIENCE), 0)

    def test_a_second_signal_ends_it_at_once(self):
        child, said = self.start()
        self.ready(said)
        self.stream(said, 250)
        child.send_signal(signal.SIGINT)
        time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        self.assertIn(child.wait(5), (0, 130))  # 0: the answer was done by then

    def test_who_leaves_frees_what_was_held(self):
        _, said = self.start()
        self.ready(said)
        clients = [self.stream(said, 250) for _ in range(8)]
        for client in clients:
            client.close()
        deadline = time.monotonic() + PATIENCE
        while True:
            _, page = self.ask(said, "/metrics")
            used = [float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
                    if line.startswith("vllm:num_requests_running{")]
            if used == [0]:
                break
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)


class Refuses(Serve):

    def copy(self, name):
        folder = self.folder / name
        shutil.copytree(self.model, folder)
        return folder

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assertIn(f"port {port}", self.refused(self.model, "--port", port))

    def test_folders_that_are_no_model(self):
        self.assertIn("/no/such", self.refused("/no/such"))
        for name, missing in (("no-tokenizer", "vocab.json"), ("no-config", "config.json"),
                              ("no-weights", "model.safetensors")):
            folder = self.copy(name)
            (folder / missing).unlink()
            self.assertIn(str(folder), self.refused(folder))

    def test_damaged_weights(self):
        folder = self.copy("damaged")
        path = folder / "model.safetensors"
        whole = path.read_bytes()
        size = struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8:8 + size])

        def with_header(changed):
            text = json.dumps(changed).encode()
            return struct.pack("<Q", len(text)) + text + whole[8 + size:]

        overlap = json.loads(json.dumps(header))
        overlap["h.0.ln_1.weight"]["data_offsets"] = overlap["h.0.ln_1.bias"]["data_offsets"]
        shape = json.loads(json.dumps(header))
        shape["wpe.weight"]["shape"].reverse()
        begin = 8 + size + header["h.1.mlp.c_fc.weight"]["data_offsets"][0]
        cases = {
            "cut": (whole[:-100], "model.safetensors"),
            "cut header": (whole[:100], "model.safetensors"),
            "overlap": (with_header(overlap), "model.safetensors"),
            "shape": (with_header(shape), "wpe.weight"),
            "nan": (whole[:begin] + struct.pack("<f", float("nan")) + whole[begin + 4:],
                    "h.1.mlp.c_fc.weight"),
        }
        for name, (content, named) in cases.items():
            path.write_bytes(content)
            with self.subTest(name):
                self.assertIn(named, self.refused(folder))

    def test_a_model_that_does_not_fit(self):
        said = self.refused(self.model, "--memory", "1Mi")
        self.assertRegex(said, r"memory|fit")

    def test_flags_that_make_no_sense(self):
        for flags in (("--weights", "int3"), ("--memory", "much"), ("--ttft", "5"),
                      ("--tls-key", "x"), ("--host", "nowhere"), ("--chat-template", "no-such"),
                      ("--max-step-tokens", 16), ("--device", "gpu"), ("--device", "cuda:99"),
                      ("--weights", "f16"), ("--device", "torch:cpu", "--weights", "int8")):
            with self.subTest(flags):
                self.refused(self.model, *flags)


if __name__ == "__main__":
    unittest.main(verbosity=2)
