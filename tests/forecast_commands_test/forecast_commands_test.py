"""`longrun backtest`, `predict` and `check` from outside: fit, foretell, register, hold against."""

import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["LONGRUN_BIN"]) / "longrun"
SOURCE = pathlib.Path(os.environ["LONGRUN_SOURCE"])
PROGRAM = SOURCE / "tests" / "cli_end_to_end_test" / "rank_program.py"


def known_loss(params, tokens):
    return 1.8 + 0.35 * (params / 1e9) ** -0.34 + 0.35 * (tokens / 2e10) ** -0.37


def known_run(compute, ratio=20):
    params = math.sqrt(compute / 6 / ratio)
    return params, ratio * params


class Forecasts(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="longrun-forecast-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.env = {**os.environ, "LONGRUN_STATE": str(self.folder / "s")}

    def longrun(self, *words, code=0):
        done = subprocess.run([BIN, *map(str, words)], env=self.env, capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def answer(self, *words, code=0):
        return json.loads(self.longrun(*words, "--json", code=code).stdout)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def ladder(self, scale=1.0):
        """CSV of 42 runs of a known law, from 1e18 to 1e21 FLOP (times `scale`)."""
        draw = random.Random(5)
        rows = ["params,tokens,loss"]
        for c in range(7):
            for m in range(6):
                params, tokens = known_run(10 ** (18 + 0.5 * c), 20 * 10 ** (-0.8 + 0.35 * m))
                loss = known_loss(params, tokens) * math.exp(0.004 * draw.gauss(0, 1))
                rows.append(f"{params * scale},{tokens * scale},{loss}")
        return self.write("runs.csv", "\n".join(rows) + "\n")

    def fit(self, **more):
        out = self.folder / "fit.json"
        self.longrun("fit", self.ladder(**more), "--bootstrap", 200, "--out", out)
        return out

    def curve(self, name, compute, to=1.0, offset=0.0, seed=1):
        """CSV of a run's losses that lie above the law by 6 % and come down to it."""
        draw = random.Random(seed)
        params, tokens = known_run(compute)
        rows = ["tokens,loss"]
        for i in range(1, round(500 * to) + 1):
            f = i / 500
            loss = known_loss(params, f * tokens)
            loss *= math.exp(0.06 * (1 - f) + offset + 0.01 * draw.gauss(0, 1))
            rows.append(f"{f * tokens},{loss}")
        return self.write(name, "\n".join(rows) + "\n")

    def small_curves(self):
        rows = ["run,params,tokens,loss"]
        for number, compute in enumerate((1e19, 1e20, 3e20, 1e21)):
            text = self.curve("small.csv", compute, seed=number).read_text()
            for row in text.splitlines()[1:]:
                rows.append(f"r{number},{known_run(compute)[0]},{row}")
        return self.write("curves.csv", "\n".join(rows) + "\n")

    def test_a_prediction_has_intervals_and_says_how_far_it_is(self):
        params, tokens = known_run(1e23)
        answer = self.answer("predict", self.fit(), "--params", params, "--tokens", tokens)
        self.assertAlmostEqual(answer["loss"], known_loss(params, tokens), delta=0.03)
        low, high = answer["intervals"]["95"]
        self.assertTrue(low < known_loss(params, tokens) < high)
        self.assertAlmostEqual(answer["orders_beyond"], 2, places=6)
        self.assertGreater(answer["spread"]["calibration_cuts"], 0)
        self.assertRegex(answer["data"]["hash"], r"^xxh128:[0-9a-f]{32}$")
        best = self.answer("predict", self.folder / "fit.json", "--compute", "1e23")
        self.assertLessEqual(best["loss"], answer["loss"] * 1.0001)
        text = self.longrun("predict", self.folder / "fit.json", "--compute", "1e23").stdout
        self.assertIn("2.0 orders of magnitude beyond", text)

    def test_outside_the_domain_is_refused(self):
        fit = self.fit()
        for words, code, part in [
            (["--compute", "1e27"], 1, "beyond 10,000 times"),
            (["--params", "1e9", "--tokens", "1e14"], 1, "tokens per parameter"),
            (["--params", "1e9"], 78, "--tokens"),
            ([], 78, "which run?"),
            (["--params", "-1", "--tokens", "1"], 78, "--params"),
            (["--params", "1", "--tokens", "1", "--compute", "6"], 78, "two of them"),
        ]:
            self.assertIn(part, self.longrun("predict", fit, *words, code=code).stderr)
        self.assertIn("nowhere", self.longrun("predict", "/nowhere", "--compute", "1e20",
                                              code=78).stderr)
        other = self.write("other.json", "{}")
        self.assertIn("no fit", self.longrun("predict", other, "--compute", "1e20",
                                             code=78).stderr)

    def test_a_registered_prediction_is_held_against_the_run(self):
        params, tokens = known_run(1e22)
        before = self.folder / "before.json"
        words = ["predict", self.fit(), "--params", params, "--tokens", tokens]
        self.longrun(*words, "--curves", self.small_curves(), "--register", before)
        written = before.read_text()
        self.assertIn("stands there already",
                      self.longrun(*words, "--register", before, code=1).stderr)
        self.assertEqual(before.read_text(), written)
        for offset, verdict, code in [(0, "on the line", 0), (0.06, "above the line", 1),
                                      (-0.06, "below the line", 0)]:
            for to in (0.4, 1.0):
                curve = self.curve("curve.csv", 1e22, to=to, offset=offset, seed=77)
                answer = self.answer("check", before, curve, code=code)
                self.assertEqual(answer["verdict"], verdict, (offset, to))
                self.assertAlmostEqual(answer["fraction"], to, places=2)
                self.assertEqual(answer["probability"] < 0.2, offset != 0)
                self.assertGreater(len(answer["way"]), 3)
        reached = known_loss(params, tokens)
        self.assertIn("on the line",
                      self.longrun("check", before, "--reached", reached).stdout)
        self.longrun("check", before, "--reached", 1.1 * reached, code=1)

    def test_an_unfinished_run_is_not_judged_without_the_curves_of_others(self):
        params, tokens = known_run(1e22)
        before = self.folder / "before.json"
        self.longrun("predict", self.fit(), "--params", params, "--tokens", tokens,
                     "--register", before)
        answer = self.answer("check", before, self.curve("curve.csv", 1e22, to=0.4, offset=0.1))
        self.assertEqual(answer["verdict"], "cannot tell yet")
        self.assertFalse(answer["knows_unfinished_runs"])

    def test_a_run_of_longrun_is_checked_while_it_trains(self):
        # Losses of the program are 10/(1 + step) with 100 tokens a step, 40 steps.
        fit = self.fit(scale=1e-7)
        self.longrun("predict", fit, "--params", 600, "--tokens", 4000, "--register-for", "job")
        manifest = self.write("job.yaml", json.dumps(
            {"apiVersion": "longrun.dev/v1", "kind": "Run", "metadata": {"name": "job"},
             "spec": {"command": [sys.executable, str(PROGRAM), "40", "0.1"]}}))
        run = subprocess.Popen([BIN, "run", manifest], env=self.env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        try:
            live = self.wait_for_losses()
            run.wait(timeout=60)
        finally:
            if run.poll() is None:
                run.terminate()
                run.wait()
        self.assertLess(live["fraction"], 1)
        done = self.answer("check", "job")
        self.assertEqual(done["tokens"], 4000)
        self.assertEqual(done["fraction"], 1)
        self.assertEqual(done["verdict"], "below the line")
        self.assertAlmostEqual(done["loss"], (10 / 40 + 10 / 41 + 10 / 39) / 3, places=4)
        metric = self.answer("check", "job", "--metric", "validation_loss")
        self.assertEqual(metric["loss"], 1.25)
        self.assertIn("/nowhere", self.longrun("check", "job", "--against", "/nowhere",
                                               code=78).stderr)
        self.assertIn("neither a file nor a run",
                      self.longrun("check", "jib", "--against", self.folder / "s" / "predictions" /
                                   "job.json", code=1).stderr)
        self.assertIn("--register-for", self.longrun("check", "other", code=78).stderr)

    def wait_for_losses(self):
        deadline = time.monotonic() + 50
        while time.monotonic() < deadline:
            done = subprocess.run([BIN, "check", "job", "--json"], env=self.env,
                                  capture_output=True, text=True, timeout=60)
            if done.stdout:
                return json.loads(done.stdout)
            time.sleep(0.1)
        self.fail("no losses: " + done.stderr)

    def test_backtest_foretells_the_larger_runs(self):
        answer = self.answer("backtest", self.ladder(), "--bootstrap", 100)
        self.assertGreater(answer["forecasts"], 10)
        self.assertGreater(answer["coverage"]["95"], 0.8)
        upper = self.answer("backtest", self.folder / "runs.csv", "--cut", "1.1e20")
        self.assertLess(upper["median_error"], 0.01)
        fitted = [cut for cut in answer["cuts"] if "refused" not in cut]
        for cut in fitted:
            self.assertEqual(cut["fitted"] + cut["foretold"], 42)
            self.assertTrue(all(run["orders_beyond"] > 0 for run in cut["runs"]))
        text = self.longrun("backtest", self.folder / "runs.csv", "--cut", "1.1e20",
                            "--bootstrap", 100).stdout
        self.assertRegex(text, r"1\.10e\+20 +30 +12 ")

    def test_backtest_of_what_cannot_be_fitted(self):
        rows = "params,tokens,loss\n" + "".join(f"1e8,2e9,{3 + 0.01 * i}\n" for i in range(12))
        path = self.write("runs.csv", rows)
        self.longrun("backtest", path, code=78)
        self.assertIn("no law", self.longrun("backtest", path, "--law", "nolaw", code=78).stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + ["-v"])
