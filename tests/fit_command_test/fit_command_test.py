"""`longrun fit` as people and scripts call it: figures, bad input, exit codes, memory.

Needs Python's standard library, and the binary in $LONGRUN_BIN. What needs public data reads it
from $LONGRUN_DATA or ../shared/data, and is skipped where it is not there.
"""

import csv
import json
import math
import os
import pathlib
import random
import resource
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["LONGRUN_BIN"]) / "longrun"
ROOT = pathlib.Path(os.environ.get("LONGRUN_SOURCE", pathlib.Path(__file__).parents[2]))
DATA = pathlib.Path(os.environ.get("LONGRUN_DATA") or ROOT.parent / "shared" / "data") / "scaling"
CHINCHILLA = DATA / "chinchilla_figure4_points.csv"
OVERTRAINING = DATA / "overtraining_104_models.csv"
GIGABYTE = 1 << 30


def fit(*arguments, stdin=None, **options):
    return subprocess.run([BIN, "fit", *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=120, input=stdin, **options)


def fitted(*arguments, stdin=None):
    result = fit(*arguments, "--json", stdin=stdin)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def loss(n, d):
    return 1.8 + 480 / n**.35 + 2100 / d**.37


def runs_csv(separator=",", end="\n", header=("N", "D", "loss"), noise=.002):
    """Thirty runs on a law, as text."""
    luck = random.Random(3)
    rows = [header]
    for i in range(6):
        for j in range(5):
            n = 1e7 * 10**(i / 2)
            d = n * 10**(j / 2)
            rows.append((n, d, loss(n, d) * math.exp(luck.gauss(0, noise))))
    return end.join(separator.join(map(str, row)) for row in rows) + end


class FitCommand(unittest.TestCase):

    def test_a_law_comes_back_through_standard_input(self):
        answer = fitted("-", stdin=runs_csv())
        self.assertEqual(answer["law"], "chinchilla")
        self.assertTrue(answer["trusted"])
        self.assertEqual((answer["points"], answer["dropped"]), (30, 0))
        for name, right in (("A", 480), ("B", 2100), ("E", 1.8), ("alpha", .35), ("beta", .37)):
            low, high = answer["intervals"][name]["95"]
            self.assertLess(low, right, name)
            self.assertGreater(high, right, name)

    def test_bytes_that_do_not_matter_do_not(self):
        plain = fitted("-", stdin=runs_csv())["parameters"]
        for text in ("\ufeff" + runs_csv(";", "\r\n"), runs_csv("\t"),
                     runs_csv(header=('"N"', "D ", '"loss"'))):
            self.assertEqual(fitted("-", stdin=text)["parameters"], plain)

    def test_units_are_read(self):
        text = runs_csv(header=("size", "data", "bpt"))
        rows = [line.split(",") for line in text.split()]
        for row in rows[1:]:
            row[0] = repr(float(row[0]) / 1e6)
            row[1] = repr(float(row[1]) / 1e9)
        millions = "\n".join(",".join(row) for row in rows) + "\n"
        columns = ("--params", "size:M", "--tokens", "data:B", "--loss", "bpt")
        given = fitted("-", *columns, "--bootstrap", 0, stdin=millions)
        self.assertAlmostEqual(given["parameters"]["alpha"],
                               fitted("-", stdin=runs_csv())["parameters"]["alpha"], delta=1e-6)
        bare = fit("-", "--params", "size", "--tokens", "data", "--loss", "bpt", stdin=millions)
        self.assertIn("in millions", bare.stderr)

    def test_the_same_seed_gives_the_same_intervals_on_any_number_of_threads(self):
        one, three = (fitted("-", "--threads", threads, "--bootstrap", 200, stdin=runs_csv())
                      for threads in (1, 3))
        self.assertEqual(one["intervals"], three["intervals"])

    def test_bad_input_is_named_and_exits_with_78(self):
        for text, what in (("", "empty"), ("N,D,loss\n", "no row"),
                           ("N,D,loss\n1e9,x,2\n", "-:2:2: D: \"x\" is no number"),
                           ("N,D,loss\n1e9,nan,2\n", "not finite"),
                           ("N,D,loss\n1e9,0,2\n", "above 0"),
                           ("N,D,loss\n1e9,-1,2\n", "above 0"),
                           ("N,D,loss\n1e9,2\n", "2 fields where the header has 3"),
                           ("N,D,lss\n1e9,1e9,2\n", "there are: N, D, lss"),
                           ("N,D,loss\n1e9,1e10,2\n", "1 point cannot determine the 5")):
            result = fit("-", stdin=text)
            self.assertEqual(result.returncode, 78, what)
            self.assertIn(what, result.stderr)
            self.assertEqual(result.stdout, "")
        self.assertEqual(fit("no-such.csv").returncode, 78)
        self.assertEqual(fit(tempfile.gettempdir()).returncode, 78)

    def test_a_law_that_is_not_there_is_asked_back(self):
        result = fit("-", "--law", "chinchila", stdin=runs_csv())
        self.assertNotEqual(result.returncode, 0)
        self.assertIn('did you mean "chinchilla"?', result.stderr)

    def test_what_cannot_be_trusted_is_refused(self):
        lines = ["N,D,loss"] + [f"1e8,{2e9 * 2**i},{loss(1e8, 2e9 * 2**i)}" for i in range(8)]
        text = "\n".join(lines) + "\n"
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "fit.json"
            result = fit("-", "--out", out, stdin=text)
            self.assertEqual(result.returncode, 1)
            self.assertIn("all points are at one params", result.stderr)
            self.assertIn("measure next: runs at params", result.stderr)
            self.assertNotIn("alpha  ", result.stdout)
            self.assertFalse(out.exists())
        answer = fit("-", "--json", stdin=text)
        self.assertEqual(answer.returncode, 1)
        self.assertFalse(json.loads(answer.stdout)["trusted"])

    def test_rows_are_dropped_by_rule_and_listed(self):
        answer = fitted("-", "--drop-highest", 2, "--min-tokens-per-param", 3, "--bootstrap", 0,
                        stdin=runs_csv())
        self.assertEqual(answer["dropped"], 8)
        self.assertEqual(answer["points"], 22)
        self.assertEqual(len(answer["dropped_rows"]), 8)
        self.assertEqual(answer["dropped_rows"][-1]["why"], "one of the 2 highest losses")

    def test_a_kept_fit_has_all_that_made_it(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "fit.json"
            printed = fitted("-", "--bootstrap", 50, "--out", out, stdin=runs_csv())
            kept = json.loads(out.read_text())
            self.assertEqual(kept["parameters"], printed["parameters"])
            self.assertEqual(kept["data"]["hash"], printed["data"]["hash"])
            self.assertEqual(len(kept["bootstrap"]["parameters"]), 50)
            self.assertEqual(len(kept["points"]), 30)

    def test_a_gigabyte_is_read_in_bounded_memory(self):
        def little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (GIGABYTE, GIGABYTE))

        note = "x" * 1000
        rows = runs_csv(header=("N", "D", "loss")).split()
        with subprocess.Popen([BIN, "fit", "-", "--where", "keep=yes", "--json", "--threads", "1"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              preexec_fn=little_memory) as process:
            write = process.stdin.write
            write(f"{rows[0]},keep,note\n".encode())
            write("".join(f"{row},yes,\n" for row in rows[1:]).encode())
            block = f"1,1,1,no,{note}\n".encode() * 1024
            for _ in range(GIGABYTE // len(block)):
                write(block)
            process.stdin.close()
            answer = json.loads(process.stdout.read())
            self.assertEqual(process.wait(60), 0)
        self.assertEqual(answer["points"], 30)
        self.assertGreater(answer["data"]["rows"], 900_000)


@unittest.skipUnless(CHINCHILLA.exists(), f"no {CHINCHILLA}")
class ChinchillaReplication(unittest.TestCase):

    def test_the_replication_from_its_file(self):
        answer = fitted(CHINCHILLA, "--params", "Model Size", "--compute", "Training FLOP",
                        "--loss", "loss", "--law", "chinchilla", "--huber", "1e-3",
                        "--drop-highest", 5)
        self.assertEqual((answer["points"], answer["dropped"]), (240, 5))
        self.assertLessEqual(answer["objective"], 0.00101827405)
        for name, right in (("A", 477.842), ("B", 2143.86), ("E", 1.81724), ("alpha", .347313),
                            ("beta", .367183)):
            self.assertAlmostEqual(answer["parameters"][name] / right, 1, delta=1e-3)

    def test_hoffmanns_other_approaches(self):
        for law in ("isoflop", "envelope"):
            answer = fitted(CHINCHILLA, "--law", law, "--drop-highest", 5, "--bootstrap", 100)
            self.assertAlmostEqual(answer["parameters"]["a"], .5, delta=.03, msg=law)


@unittest.skipUnless(OVERTRAINING.exists(), f"no {OVERTRAINING}")
class OvertrainingPaper(unittest.TestCase):

    # Gadre et al. 2024: five small runs on RedPajama foretell two large ones.
    def test_the_published_law_and_its_predictions(self):
        small = "|".join(f"rpj-d={shape}-{multiple}" for shape, multiple in (
            ("96_l=8_h=4", "1.0"), ("512_l=8_h=4", "1.0"), ("576_l=24_h=8", "1.0"),
            ("1024_l=24_h=8", "1.0"), ("96_l=8_h=4", "16.0")))
        p = fitted(OVERTRAINING, "--params", "N", "--tokens", "D", "--loss", "loss_c4_val",
                   "--where", f"name={small}", "--law", "overtraining", "--mse", "--bootstrap",
                   0)["parameters"]
        # Theirs is in (N, M): a carries 6^-eta.
        for ours, theirs in ((p["a"] / 6**p["eta"], 166.211), (p["b"], 366.687),
                             (-2 * p["eta"], -.272851), (p["E"], 1.836648)):
            self.assertAlmostEqual(ours / theirs, 1, delta=1e-4)
        with open(OVERTRAINING, encoding="utf-8") as file:
            rows = {row["name"]: row for row in csv.DictReader(file)}
        for name, published in (("rpj-open_lm_1b-32.0", .007103), ("rpj-open_lm_7b-1.0", .007320)):
            n, d = float(rows[name]["N"]), float(rows[name]["D"])
            c, m = 6 * n * d, d / n
            foretold = p["E"] + (p["a"] * m**p["eta"] + p["b"] * m**-p["eta"]) * c**-p["eta"]
            error = abs(foretold / float(rows[name]["loss_c4_val"]) - 1)
            self.assertAlmostEqual(error, published, delta=2e-6)


if __name__ == "__main__":
    unittest.main()
