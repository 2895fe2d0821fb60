"""--plot of `longrun fit` and `longrun passrate`: files that are pictures, and errors that help.

Needs Python's standard library, gnuplot, and the binary in $LONGRUN_BIN.
"""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

BIN = pathlib.Path(os.environ["LONGRUN_BIN"]) / "longrun"
ROOT = pathlib.Path(os.environ.get("LONGRUN_SOURCE", pathlib.Path(__file__).parents[2]))
ATTEMPTS = ROOT / "examples" / "pass-rates" / "attempts.csv"


def run(*arguments, **options):
    return subprocess.run([BIN, *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=60, **options)


def write_runs(path):
    """Runs of Besiroglu et al. 2024's law with noise: seven sizes at each of five computes."""
    draw = random.Random(3)
    rows = ["params,tokens,loss"]
    for c in range(5):
        for n in range(7):
            params = 1e7 * 10 ** (0.5 * c + 0.25 * n)
            tokens = 1e18 * 10 ** c / (6 * params)
            loss = 1.81686 + 482.006 / params ** .34781 + 2085.43 / tokens ** .36585
            rows.append(f"{params:.6g},{tokens:.6g},{loss * (1 + 0.003 * draw.gauss(0, 1)):.6f}")
    path.write_text("\n".join(rows) + "\n", "utf-8")


@unittest.skipUnless(shutil.which("gnuplot"), "gnuplot is not installed")
class PlotCommand(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.runs = self.folder / "runs.csv"
        write_runs(self.runs)

    def texts(self, path):
        root = xml.etree.ElementTree.parse(path).getroot()
        return " ".join("".join(node.itertext()) for node in root.iter() if
                        node.tag.endswith("}text"))

    def test_a_fit_becomes_a_vector_picture(self):
        path = self.folder / "fit.svg"
        result = run("fit", self.runs, "--bootstrap", 200, "--reached", "1e24:1.97", "--plot", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        texts = self.texts(path)
        for word in ("Loss and L(N, D)", "Runs of equal compute", "Residuals", "Compute-optimal",
                     "80 % of the resamples", "reached", "where the law is lowest"):
            self.assertIn(word, texts)

    def test_one_panel_alone_and_pixels(self):
        path = self.folder / "fit.png"
        result = run("fit", self.runs, "--bootstrap", 0, "--plot", path, "--panel", "residuals")
        self.assertEqual(result.returncode, 0, result.stderr)
        data = path.read_bytes()
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual((int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")),
                         (720, 540))

    def test_pass_rates(self):
        path = self.folder / "rates.svg"
        result = run("passrate", ATTEMPTS, "--at", "1e23", "--plot", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        for word in ("Mean log pass rate", "Buckets of difficulty", "Pass rate by bucket"):
            self.assertIn(word, self.texts(path))

    def test_the_terminal_gets_letters(self):
        result = run("fit", self.runs, "--bootstrap", 0, "--plot", "-", "--panel", "line")
        self.assertEqual(result.returncode, 0, result.stderr)
        for pattern in ("training compute, FLOP", "1e18", "measured +o", "the law.* -"):
            self.assertRegex(result.stdout, pattern)

    def test_what_cannot_be_drawn_is_said_before_the_work(self):
        cases = [
            (["--plot", "x.jpg"], 78, ".svg or .png"),
            (["--plot", "/nonexistent/x.svg"], 1, "/nonexistent/x.svg"),
            (["--panel", "line"], 78, "--plot FILE"),
            (["--plot", "-", "--panel", "lin"], 78, 'did you mean "line"?'),
            (["--plot", "-", "--reached", "1e22"], 78, "1.3e22:1.99"),
            (["--law", "isoflop", "--plot", "-"], 2, "no --plot"),
        ]
        for arguments, code, message in cases:
            result = run("fit", self.runs, "--bootstrap", 0, *arguments)
            self.assertEqual(result.returncode, code, f"{arguments}: {result.stderr}")
            self.assertIn(message, result.stderr)

    def test_without_gnuplot_it_says_how_to_get_it(self):
        path = self.folder / "x.svg"
        result = run("fit", self.runs, "--plot", path, env={**os.environ, "PATH": "/nonexistent"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("apt-get install gnuplot-nox", result.stderr)
        self.assertFalse(path.exists())


if __name__ == "__main__":
    unittest.main()
