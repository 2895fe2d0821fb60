"""`longrun passrate` and `longrun downstream` from outside: known truths, bad input, exit codes."""

import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(os.environ["LONGRUN_BIN"]) / "longrun"
SOURCE = pathlib.Path(os.environ["LONGRUN_SOURCE"])
DATA = pathlib.Path(os.environ.get("LONGRUN_DATA", SOURCE.parent / "shared" / "data"))
OVERTRAINING = DATA / "scaling" / "overtraining_104_models.csv"


class Commands(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="longrun-rates-")
        self.addCleanup(self.folder.cleanup)

    def write(self, text, encoding="utf-8"):
        path = pathlib.Path(self.folder.name) / "in.csv"
        path.write_text(text, encoding)
        return path

    def longrun(self, *words):
        return subprocess.run([BIN, *map(str, words)], capture_output=True, text=True, timeout=60)

    def refused(self, code, words, *parts):
        """The command exits with `code` and one short message that has all parts."""
        done = self.longrun(*words)
        self.assertEqual(done.returncode, code, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        return done


class PassRate(Commands):

    def benchmark(self, attempts=400, problems=80):
        """CSV of a benchmark with −log p = h·(C/1e18)^(−0.15), and h."""
        draw = random.Random(3)
        hardness = [0.35 * 10 ** draw.random() for _ in range(problems)]
        rows = ["problem,model,compute,attempts,passes"]
        for i, h in enumerate(hardness):
            for m in range(5):
                rate = math.exp(-h * 10 ** (-0.15 * 0.6 * m))
                passes = sum(draw.random() < rate for _ in range(attempts))
                rows.append(f"p{i},m{m},{1e18 * 10 ** (0.6 * m)},{attempts},{passes}")
        return "\n".join(rows) + "\n", hardness

    def test_foretells_a_benchmark_of_known_truth(self):
        text, hardness = self.benchmark()
        done = self.longrun("passrate", self.write(text), "--at", "1e23", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertTrue(answer["trusted"])
        self.assertEqual(answer["censored"], [])
        fit = answer["all"]["fit"]
        self.assertAlmostEqual(fit["k"], 0.15, delta=0.01)
        low, high = fit["intervals"]["k"]["95"]
        self.assertTrue(low < 0.15 < high)
        prediction = answer["all"]["predictions"][0]
        at = [h * 1e5 ** -0.15 for h in hardness]
        truth = sum(math.exp(-x) for x in at) / len(at)
        self.assertAlmostEqual(prediction["pass_rate"], truth, delta=0.01)
        low, high = prediction["mean_neg_log_p_intervals"]["95"]
        self.assertTrue(low < sum(at) / len(at) < high)
        self.assertAlmostEqual(prediction["orders_beyond"], 2.6, delta=0.001)
        rates = [bucket["predictions"][0]["pass_rate"] for bucket in answer["buckets"]]
        self.assertEqual(rates, sorted(rates, reverse=True), "the easiest bucket comes first")

    def test_zero_pass_problems_are_listed_and_do_not_count(self):
        text, _ = self.benchmark(attempts=50, problems=10)
        text += "".join(f"never,m{m},{1e18 * 10 ** (0.6 * m)},50,{int(m == 4)}\n" for m in range(5))
        path = self.write(text)
        table = self.longrun("passrate", path)
        self.assertEqual(table.returncode, 0, table.stderr)
        self.assertRegex(table.stdout, r"never +no pass by m0, m1, m2, m3")
        answer = json.loads(self.longrun("passrate", path, "--json").stdout)
        self.assertEqual(answer["all"]["problems"], 10)
        self.assertEqual([c["problem"] for c in answer["censored"]], ["never"])
        self.assertIsNone(answer["problems"][10]["models"]["m0"]["neg_log_p"])

    def test_no_law_where_the_data_show_none(self):
        header = "problem,model,compute,attempts,passes\n"
        flat = header + "".join(f"p{i},m{m},{10 ** (18 + m)},20,{9 + (i + m) % 3}\n"
                                for i in range(9) for m in range(4))
        self.refused(1, ["passrate", self.write(flat)], "could as well be 0", "wider range")
        two = header + "p,a,1e18,10,3\np,b,1e19,10,5\n"
        self.refused(1, ["passrate", self.write(two)], "need 3 at least")
        unsolved = header + "p,a,1e18,10,0\nq,b,1e19,10,5\nq,a,1e18,10,0\n"
        done = self.refused(1, ["passrate", self.write(unsolved), "--json"])
        self.assertFalse(json.loads(done.stdout)["trusted"])

    def test_few_attempts_are_warned_of(self):
        text, _ = self.benchmark(attempts=4, problems=300)
        done = self.longrun("passrate", self.write(text))
        self.assertIn("give it more attempts", done.stderr)

    def test_bad_input_names_the_place_and_what_is_right(self):
        header = "problem,model,compute,attempts,passes\n"
        for text, parts in [
            ("", ["empty"]),
            ("problem,model,attempts,passes\np,m,1,1\n", ['"compute"', "there are"]),
            (header, ["no rows"]),
            (header + "p,m,1e18,10,x\n", ["in.csv:2", "passes"]),
            (header + "p,m,inf,10,3\n", ["in.csv:2", "compute"]),
            (header + "p,m,1e18,10,3\np,m,1e18,10,4\n", ["in.csv:3", "add attempts"]),
            (header + "p,m,1e18,10,12\n", ["12 passes in 10 attempts"]),
        ]:
            self.refused(78, ["passrate", self.write(text)], *parts)
        self.refused(78, ["passrate", self.write(header + "p,m,1,1,1\n"), "--at", "-1"], "above 0")
        self.refused(78, ["passrate", "/nowhere.csv"], "/nowhere.csv")
        self.refused(2, ["passrate", "x.csv", "--bucket", "3"], "--buckets")


class Downstream(Commands):

    def test_two_steps_from_compute_to_accuracy(self):
        rows = ["loss,acc,flop"]
        for m in range(9):
            compute = 1e18 * 10 ** (0.5 * m)
            loss = 6 * (compute / 1e18) ** -0.09
            rows.append(f"{loss},{0.25 + 0.75 / (1 + math.exp(2 * (loss - 3)))},{compute}")
        done = self.longrun("downstream", self.write("\n".join(rows)), "--accuracy", "acc",
                            "--compute", "flop", "--at", "1e24", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        loss = 6 * 1e6 ** -0.09
        prediction = answer["predictions"][0]
        self.assertAlmostEqual(prediction["loss"], loss, places=4)
        self.assertAlmostEqual(prediction["accuracy"], 0.25 + 0.75 / (1 + math.exp(2 * (loss - 3))),
                               places=4)
        self.assertTrue(prediction["beyond_fitted_losses"])

    @unittest.skipUnless(OVERTRAINING.exists(), f"{OVERTRAINING} is not there")
    def test_reads_the_published_models(self):
        done = self.longrun("downstream", OVERTRAINING, "--loss", "loss_c4_val", "--error",
                            "err_avg17", "--where", "train_set=rpj", "--form", "exponential",
                            "--at-loss", "2.502053562117363", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        prediction = json.loads(done.stdout)["predictions"][0]
        low, high = prediction["intervals"]["95"]
        self.assertTrue(low < 1 - 0.47521523167105284 < high, prediction)

    def test_bad_input_names_the_place_and_what_is_right(self):
        good = "loss,accuracy\n3,0.3\n2.5,0.4\n2,0.6\n1.5,0.8\n1,0.9\n"
        for text, words, parts in [
            ("loss,acc\n1,1\n", [], ['"accuracy"']),
            (good + "1,90\n", [], ["not per cent"]),
            (good + "nan,0.9\n", [], ["in.csv:7"]),
            ("loss,accuracy\n3,0.3\n2,0.5\n", [], ["4 are needed at least"]),
            (good, ["--at", "1e20"], ["--compute"]),
            (good, ["--where", "loss"], ["COLUMN=TEXT"]),
            (good, ["--at-loss", "0"], ["above 0"]),
        ]:
            self.refused(78, ["downstream", self.write(text), *words], *parts)
        rising = "loss,accuracy\n3,0.9\n2.5,0.8\n2,0.6\n1.5,0.4\n1,0.3\n"
        self.refused(1, ["downstream", self.write(rising)], "does not rise as the loss falls")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + ["-v"])
