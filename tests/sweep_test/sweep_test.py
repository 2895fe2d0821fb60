"""`longrun sweep` from the ladder to the report: a law that is known is found again, through kills
and Ctrl-C; real models on real text; files that are wrong.

Needs Python's standard library and the binaries in $LONGRUN_BIN.
"""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["LONGRUN_BIN"])
HERE = pathlib.Path(__file__).parent
FORTUNES = pathlib.Path("/usr/share/games/fortunes")
PATIENCE = 240

SWEEP = """name: tiny
data: {text: ["/usr/share/games/fortunes/[b-z]*"], vocab_size: 512}
training: {batch: 128, context: 16, learning_rate: {value: 0.008, at_width: 24, exponent: -0.5}}
ladder:
  shapes:
    - {layers: 1, heads: 2, d_model: 4}
    - {layers: 1, heads: 2, d_model: 8}
    - {layers: 1, heads: 2, d_model: 12}
    - {layers: 1, heads: 2, d_model: 16}
    - {layers: 1, heads: 2, d_model: 20}
  tokens_per_param: 20
  repeats: 2
target: {layers: 1, heads: 2, d_model: 66, tokens_per_param: 20}
fit: {huber: 0.01}
"""
RUNS = 10
FEW_STEPS = ("batch: 128, context: 16", "batch: 16, context: 8")


class Sweep(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="longrun-sweep-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.out = self.folder / "out"
        self.env = dict(os.environ)

    def stand_in(self):
        """Puts the stand-in for the worker before the real one."""
        program = self.folder / "longrun-worker"
        stand_in = HERE / "worker_program.py"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
        program.chmod(0o755)
        self.env["PATH"] = f"{self.folder}:{self.env['PATH']}"

    def write(self, text=SWEEP):
        path = self.folder / "sweep.yaml"
        path.write_text(text)
        return path

    def words(self, *words):
        return [BIN / "longrun", "sweep", *map(str, words), "--folder", self.out]

    def sweep(self, *words):
        return subprocess.run(self.words(*words), env=self.env, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)

    def results(self):
        path = self.out / "results.csv"
        return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []

    def starts(self, run):
        return (self.out / "state" / "runs" / run / "starts").read_text().count("started")

    def left_running(self):
        deadline = time.monotonic() + 30
        while True:
            found = []
            for entry in pathlib.Path("/proc").iterdir():
                try:
                    command = (entry / "cmdline").read_bytes()
                    state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                except (OSError, IndexError):
                    continue
                if str(self.folder).encode() in command and state != "Z":
                    found.append(command)
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def begun(self, condition, *words):
        """A sweep that has come so far that the condition holds."""
        child = subprocess.Popen(self.words(*words), env=self.env, stdout=subprocess.PIPE,
                                 text=True, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE
        while not condition() and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.01)
        if child.poll() is not None:
            self.fail(f"ended too early: {child.communicate()[0]}")
        return child

    def kill(self, child, number):
        child.send_signal(number)
        said = child.communicate(timeout=PATIENCE)[0]
        self.assertEqual(self.left_running(), [], "something outlived the sweep")
        return said


class Loop(Sweep):

    def setUp(self):
        super().setUp()
        self.stand_in()

    def test_goes_on_where_it_was_killed_and_foretells_what_comes(self):
        path = self.write()
        self.kill(self.begun(lambda: len(self.results()) >= 2, path), signal.SIGKILL)
        before = self.results()
        self.assertLess(len(before), RUNS)

        prediction = self.out / "prediction.json"
        child = self.begun(prediction.exists, path)
        self.assertIn("goes on from there", self.kill(child, signal.SIGINT))
        self.assertEqual(child.returncode, 130)
        registered = prediction.read_text()

        answer = self.sweep(path, "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(prediction.read_text(), registered, "a prediction is never written over")
        report = json.loads(answer.stdout)
        self.check_rows(before)
        self.check_report(report)
        self.check_order(report)

    def check_rows(self, before):
        rows = self.results()
        self.assertEqual(len(rows), RUNS)
        for row in before:
            self.assertIn(row, rows)
            self.assertEqual(self.starts(row["run"]), 1, "a finished run was begun again")
        for row in rows:
            self.assertEqual(float(row["compute"]), 6 * int(row["params"]) * int(row["tokens"]))

    def check_report(self, report):
        self.assertGreaterEqual(report["gap"], 30)
        self.assertAlmostEqual(report["error_percent"],
                               100 * (report["reached"] / report["predicted"] - 1), places=6)
        for level, (low, high) in report["intervals"].items():
            self.assertLess(low, report["predicted"])
            self.assertGreater(high, report["predicted"])
            self.assertEqual(report["inside"][level], low <= report["reached"] <= high)
        # The runs keep to a law, with noise of 0.2 %.
        self.assertAlmostEqual(report["parameters"]["b"], -0.15, delta=0.05)
        self.assertLess(abs(report["error_percent"]), 2)
        for name in ("fit.json", "report.json", "report.txt"):
            self.assertTrue((self.out / name).exists(), name)

    def check_order(self, report):
        """The large run began after the prediction stood."""
        answer = subprocess.run(
            [BIN / "longrun", "status", report["target"]["run"], "--json", "--state",
             self.out / "state"], env=self.env, capture_output=True, text=True, check=True)
        view = json.loads(answer.stdout)["runs"][0]
        self.assertGreater(view["submitted"], report["registered"])

    def running(self, part):
        """The name of a run under way that has `part` in it, once there is one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = subprocess.run(
                [BIN / "longrun", "status", "--json", "--state", self.out / "state"], env=self.env,
                capture_output=True, text=True, check=False)
            for run in json.loads(answer.stdout)["runs"] if answer.returncode == 0 else []:
                if part in run["run"] and run["phase"] == "running" and run["step"] > 0:
                    return run["run"]
            time.sleep(0.02)
        self.fail(f"no run with {part} was ever under way")

    def fault(self, *words):
        subprocess.run([BIN / "longrun", "fault", *words, "--state", self.out / "state"],
                       env=self.env, capture_output=True, check=True)

    def test_outlives_its_controller_and_finishes_runs_whose_rank_died(self):
        child = self.begun(lambda: len(self.results()) >= 1, self.write(), "--json")
        self.fault("kill-controller")
        # The target lasts for seconds: it is not over before it is killed.
        target = self.running("-d66-")
        self.fault("kill-rank", target, "--rank", "0")
        out = child.communicate(timeout=PATIENCE)[0]
        self.assertEqual(child.returncode, 0, out)
        self.assertEqual(len(self.results()), RUNS)
        self.assertGreaterEqual(self.starts(target), 2)
        self.assertEqual(self.left_running(), [])

    def test_other_settings_need_another_folder(self):
        self.kill(self.begun((self.out / "state").exists, self.write()), signal.SIGINT)
        answer = self.sweep(self.write(SWEEP.replace("value: 0.008", "value: 0.02")))
        self.assertEqual(answer.returncode, 1, answer.stderr)
        self.assertIn("other settings", answer.stderr)

    def test_results_that_were_changed_void_the_prediction(self):
        path = self.write()
        prediction = self.out / "prediction.json"
        self.kill(self.begun(prediction.exists, path), signal.SIGKILL)
        wrong = json.loads(prediction.read_text())
        wrong["data"]["hash"] = "xxh128:" + "0" * 32
        prediction.write_text(json.dumps(wrong))
        answer = self.sweep(path)
        self.assertEqual(answer.returncode, 1, answer.stderr)
        self.assertIn("from other results", answer.stderr)


class Files(Sweep):

    def test_a_plan_runs_nothing(self):
        answer = self.sweep(self.write(), "--plan", "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        plan = json.loads(answer.stdout)
        self.assertEqual(len(plan["ladder"]), RUNS)
        self.assertGreaterEqual(plan["gap"], 30)
        self.assertFalse(self.out.exists())
        self.assertIn("about", self.sweep(self.write(), "--plan").stdout)

    def test_wrong_files_are_told_with_line_and_field(self):
        for old, new, told in (
                ("d_model: 66", "d_model: 32", "30 or more is right"),
                ("heads: 2, d_model: 8", "heads: 3, d_model: 8",
                 "sweep.yaml:7: ladder.shapes[1]"),
                ("name: tiny", "nmae: tiny", "sweep.yaml:1: nmae"),
                ("tokens_per_param: 20\n  repeats", "tokens_per_param: -1\n  repeats",
                 "sweep.yaml:11")):
            self.assertIn(old, SWEEP)
            answer = self.sweep(self.write(SWEEP.replace(old, new)))
            self.assertEqual(answer.returncode, 78, (new, answer.stderr))
            self.assertIn(told, answer.stderr)
        self.assertEqual(self.sweep(self.folder / "none.yaml").returncode, 78)


@unittest.skipUnless((BIN / "longrun-worker").exists(), "the worker is not built")
@unittest.skipUnless(FORTUNES.is_dir(), "Debian's package fortunes is not installed")
class RealText(Sweep):

    def test_larger_models_come_out_better(self):
        answer = self.sweep(self.write(SWEEP.replace(*FEW_STEPS)))
        rows = self.results()
        self.assertEqual(len(rows), RUNS, answer.stderr)
        self.assertEqual(len({row["data"] for row in rows}), 1)
        means = {}
        for row in rows:
            means.setdefault(int(row["params"]), []).append(float(row["loss"]))
        losses = [sum(means[size]) / len(means[size]) for size in sorted(means)]
        self.assertEqual(losses, sorted(losses, reverse=True))
        # So few runs may be too few for a law: then it is refused, with what to measure next.
        if answer.returncode == 0:
            report = json.loads((self.out / "report.json").read_text())
            self.assertLess(report["reached"], losses[-1])
        else:
            self.assertEqual(answer.returncode, 1, answer.stderr)
            self.assertIn("runs at compute", answer.stderr)
            self.assertFalse((self.out / "prediction.json").exists())

    def test_a_run_that_fails_ends_the_sweep_with_the_reason(self):
        answer = self.sweep(self.write(SWEEP.replace("[b-z]*", "no-such-file")))
        self.assertEqual(answer.returncode, 1, answer.stderr)
        self.assertIn("longrun logs l1-d", answer.stderr)
        self.assertEqual(self.left_running(), [])


if __name__ == "__main__":
    unittest.main()
