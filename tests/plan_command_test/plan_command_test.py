"""`longrun plan` as people and scripts call it: figures, bad input, exit codes.

Needs Python's standard library, and the binary in $LONGRUN_BIN.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["LONGRUN_BIN"]) / "longrun"
ROOT = pathlib.Path(os.environ.get("LONGRUN_SOURCE", pathlib.Path(__file__).parents[2]))
CLUSTERS = ROOT / "examples" / "clusters"
MODELS = ROOT / "examples" / "models"


def plan(*arguments):
    return subprocess.run([BIN, "plan", *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=60)


def planned(*arguments):
    result = plan(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


class PlanCommand(unittest.TestCase):

    def test_compute_optimal_as_published(self):
        self.assertAlmostEqual(planned("besiroglu", "--compute", "5.76e23")["tokens_per_param"],
                               18.3, delta=0.1)
        self.assertAlmostEqual(planned("hoffmann", "--compute", "5.76e23")["tokens_per_param"],
                               58.9, delta=0.1)

    def test_llama_3_is_foretold(self):
        answer = planned("besiroglu", "--shape", MODELS / "llama-3-405b.yaml", "--tokens", "15.6T",
                         "--batch-tokens", 2048 * 8192, "--accelerators", 16384, "--layout",
                         "128x8x16", "--cluster", CLUSTERS / "llama-3-h100.yaml")
        cluster = answer["cluster"]
        # Published: 30.84 million accelerator hours, more than 90 % of the time effective, 466
        # interruptions in 54 days.
        hours = cluster["seconds"] * cluster["accelerators"] / 3600
        self.assertAlmostEqual(hours / 30.84e6, 1, delta=0.05)
        self.assertGreater(cluster["failures"]["effective_share"], 0.9)
        a_day = cluster["failures"]["expected_interruptions"] / cluster["seconds"] * 86400
        self.assertAlmostEqual(a_day / (419 / 54), 1, delta=0.05)

    def test_bloom_is_foretold(self):
        answer = planned("besiroglu", "--shape", MODELS / "bloom-176b.yaml", "--tokens", "366B",
                         "--context", 2048, "--batch-tokens", 2048 * 2048, "--accelerators", 384,
                         "--layout", "8x4x12", "--recompute", "--cluster",
                         CLUSTERS / "jean-zay-a100.yaml")
        hours = answer["cluster"]["seconds"] * answer["cluster"]["accelerators"] / 3600
        self.assertAlmostEqual(hours / 1082990, 1, delta=0.15)

    def test_every_example_of_the_help_runs(self):
        text = subprocess.run([BIN, "plan", "--help"], capture_output=True, text=True,
                              check=True).stdout
        examples = text.split("Examples:\n")[1].split("\n\n")[0].replace("\\\n", " ")
        ran = 0
        for line in examples.split("\n"):
            words = line.split()
            if "fit.json" in words or "hall.yaml" in words:  # of the reader's own
                continue
            result = subprocess.run([BIN, *words[1:]], cwd=ROOT, capture_output=True, text=True,
                                    check=False)
            self.assertEqual(result.returncode, 0, result.stderr)
            ran += 1
        self.assertGreaterEqual(ran, 3)

    def test_what_the_limits_forbid_exits_with_1_and_says_what_is_reachable(self):
        result = plan("besiroglu", "--target-loss", "1.9", "--deadline", "10d", "--cluster",
                      CLUSTERS / "aws-p5-h100.yaml")
        self.assertEqual(result.returncode, 1)
        self.assertIn("time is exceeded most", result.stdout)
        self.assertIn("Within them: ", result.stdout)

    def test_bad_input_is_refused_with_what_would_be_right(self):
        aws = ["--cluster", CLUSTERS / "aws-p5-h100.yaml"]
        cases = [
            ([], 2, "LAW is required"),
            (["hofmann", "--compute", "1e22"], 1, 'did you mean "hoffmann"?'),
            (["besiroglu"], 78, "nothing says how large"),
            (["besiroglu", "--compute", "-3"], 78, "--compute"),
            (["besiroglu", "--compute", "nan"], 78, "70B, 1.4T or 5.76e23"),
            (["besiroglu", "--compute", "1e22", "--deadline", "3"], 78, "30d or 12h"),
            (["besiroglu", "--money", "1M"], 78, "--cluster FILE"),
            (["besiroglu", "--compute", "1e22", "--cluster", "/gone.yaml"], 1, "/gone.yaml"),
            (["besiroglu", "--compute", "1e22", "--cluster", ROOT / "README.md"], 78, "README.md:"),
            (["besiroglu", "--compute", "1e22", "--layout", "3x3", *aws], 78, "128x8x16"),
            (["besiroglu", "--target-loss", "1.7"], 1, "out of reach"),
            (["besiroglu", "--compute", "1e22", "--power", "5kW", *aws], 1, "not one node"),
            (["besiroglu", "--compute", "1e22", "--context", "0"], 2, "--context"),
            (["besiroglu", "--computes", "1e22"], 2, 'did you mean "--compute"?'),
            ([ROOT / "README.md", "--compute", "1e22"], 78, "README.md"),
        ]
        for arguments, code, message in cases:
            result = plan(*arguments)
            self.assertEqual(result.returncode, code, f"{arguments}: {result.stderr}")
            self.assertIn(message, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_a_mistake_in_a_cluster_names_file_line_and_field(self):
        text = (CLUSTERS / "aws-p5-h100.yaml").read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "hall.yaml"
            path.write_text(text.replace("memory_gb:", "memory_gib:"), "utf-8")
            result = plan("besiroglu", "--compute", "1e22", "--cluster", path)
        self.assertEqual(result.returncode, 78)
        self.assertRegex(result.stderr, r"hall\.yaml:\d+: accelerator\.memory_gib")


if __name__ == "__main__":
    unittest.main()
