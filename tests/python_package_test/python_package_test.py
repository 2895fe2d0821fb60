"""The Python package against the figures that the library is held to."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import longrun

try:
    import pandas
except ImportError:
    pandas = None

ROOT = pathlib.Path(os.environ.get("LONGRUN_SOURCE", pathlib.Path(__file__).parents[2]))
DATA = pathlib.Path(os.environ.get("LONGRUN_DATA", ROOT.parent / "shared" / "data"))
CHINCHILLA = DATA / "scaling" / "chinchilla_figure4_points.csv"
NEEDS_DATA = unittest.skipUnless(CHINCHILLA.exists(), f"{CHINCHILLA} is not there")
TRUE = {"A": 482.006, "B": 2085.43, "E": 1.81686, "alpha": .34781, "beta": .36585}


def law(params, tokens):
    return TRUE["E"] + TRUE["A"] / params ** TRUE["alpha"] + TRUE["B"] / tokens ** TRUE["beta"]


def runs(noise=0.003):
    """Five computes by seven sizes."""
    random = np.random.default_rng(5)
    compute = np.repeat(10.0 ** np.arange(18, 23), 7)
    params = 1e7 * 10 ** (0.5 * np.repeat(np.arange(5), 7) + 0.25 * np.tile(np.arange(7), 5))
    tokens = compute / (6 * params)
    return params, tokens, law(params, tokens) * np.exp(noise * random.standard_normal(35))


class Fits(unittest.TestCase):

    def test_arrays(self):
        params, tokens, loss = runs()
        fit = longrun.fit(params=params, tokens=tokens, loss=loss, resamples=300)
        self.assertTrue(fit.trusted)
        self.assertAlmostEqual(fit.parameters["alpha"], TRUE["alpha"], delta=0.02)
        np.testing.assert_allclose(fit.loss(params=params, tokens=tokens), law(params, tokens),
                                   rtol=0.005)
        np.testing.assert_allclose(fit.residuals, np.log(loss) -
                                   np.log(fit.loss(params=params, tokens=tokens)), atol=1e-9)
        self.assertEqual(fit.resamples.shape, (300, 5))
        low, high = fit.intervals["alpha"][80]
        drawn = fit.resamples[:, list(fit.parameters).index("alpha")]
        np.testing.assert_allclose([low, high], np.quantile(drawn, [0.1, 0.9]))

    def test_any_two_of_three_sizes_and_any_kind_of_array(self):
        params, tokens, loss = runs()
        by_tokens = longrun.fit(params=params, tokens=tokens, loss=loss, resamples=0)
        by_compute = longrun.fit(params=list(params), compute=6 * params * tokens,
                                 loss=loss.astype(np.float32), resamples=0)
        for name, value in by_tokens.parameters.items():
            self.assertAlmostEqual(by_compute.parameters[name] / value, 1, delta=0.01)

    @unittest.skipIf(pandas is None, "pandas is not installed")
    def test_frames_give_what_their_arrays_give(self):
        params, tokens, loss = runs()
        frame = pandas.DataFrame({"N": params, "D": tokens, "L": loss})
        fit = longrun.fit(frame, params="N", tokens="D", loss="L", resamples=0)
        self.assertEqual(fit.parameters,
                         longrun.fit(params=params, tokens=tokens, loss=loss,
                                     resamples=0).parameters)
        np.testing.assert_array_equal(fit.loss(frame, params="N", tokens="D"),
                                      fit.loss(params=params, tokens=tokens))
        with self.assertRaisesRegex(ValueError, "no column 'M'; there are 'N', 'D', 'L'"):
            longrun.fit(frame, params="M", tokens="D", loss="L")

    def test_a_law_of_one_size(self):
        compute = 10.0 ** np.linspace(18, 23, 30)
        random = np.random.default_rng(1)
        loss = (1600 * compute ** -.165 + 1.74) * np.exp(0.001 * random.standard_normal(30))
        fit = longrun.fit(compute=compute, loss=loss, law="power-compute", resamples=0)
        self.assertAlmostEqual(fit.parameters["c"], 1.74, delta=0.05)

    def test_kept_and_loaded_it_is_the_same(self):
        params, tokens, loss = runs()
        fit = longrun.fit(params=params, tokens=tokens, loss=loss, resamples=50)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "fit.json"
            fit.save(path)
            again = longrun.load(path)
            self.assertEqual(again.parameters, fit.parameters)
            np.testing.assert_array_equal(again.resamples, fit.resamples)
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [path])

    def test_what_cannot_be_fitted_is_said(self):
        params, tokens, loss = runs()
        for arguments, message in [
                ({"params": params, "tokens": tokens}, "loss: is missing"),
                ({"params": params, "tokens": tokens[:-1], "loss": loss}, "34"),
                ({"params": params, "tokens": tokens, "loss": -loss}, "above 0"),
                ({"params": params, "tokens": tokens, "loss": loss * np.nan}, ""),
                ({"params": "N", "tokens": tokens, "loss": loss}, "there is no frame"),
                ({"params": params, "tokens": tokens, "loss": ["x"] * 35}, "loss: "),
                ({"params": params[:3], "tokens": tokens[:3], "loss": loss[:3]}, ""),
                ({"params": params, "tokens": tokens, "loss": loss, "law": "chinchila"},
                 "chinchilla"),
                ({"params": params, "tokens": tokens, "loss": loss, "objective": "l1"},
                 "free-scale"),
                ({"params": params, "tokens": tokens, "loss": loss, "run": [1, 2]}, "2 values"),
                ({"params": params.reshape(5, 7), "tokens": tokens, "loss": loss},
                 "one dimension")]:
            with self.assertRaisesRegex(ValueError, message):
                longrun.fit(**arguments)

    def test_what_must_not_be_trusted_cannot_be_used(self):
        params = np.full(8, 1e8)
        tokens = 10.0 ** np.linspace(9, 11, 8)
        fit = longrun.fit(params=params, tokens=tokens, loss=law(params, tokens))
        self.assertFalse(fit.trusted)
        self.assertTrue(fit.refusals[0][1])
        for use in (lambda: fit.loss(params=[1e9], tokens=[1e10]),
                    lambda: fit.optimal(1e22), lambda: fit.predict(compute=[1e22]),
                    lambda: longrun.plan(fit, compute=1e22), lambda: fit.save("/tmp/never.json")):
            with self.assertRaises(longrun.Refused):
                use()


class Predictions(unittest.TestCase):

    def test_runs_that_were_not_fitted(self):
        params, tokens, loss = runs()
        small = 6 * params * tokens < 1e21
        fit = longrun.fit(params=params[small], tokens=tokens[small], loss=loss[small],
                          resamples=300)
        foretold = fit.predict(params=params[~small], tokens=tokens[~small])
        np.testing.assert_allclose(foretold["loss"], loss[~small], rtol=0.02)
        inside = (foretold["lower_95"] < loss[~small]) & (loss[~small] < foretold["upper_95"])
        self.assertGreater(inside.mean(), 0.8)
        self.assertTrue((foretold["lower_95"] <= foretold["lower_80"]).all())
        with self.assertRaisesRegex(ValueError, "which runs"):
            fit.predict()
        with self.assertRaises(ValueError):
            fit.predict(params=[1e15], tokens=[1e18])


class Plans(unittest.TestCase):

    def test_by_name_and_on_a_cluster(self):
        plan = longrun.plan("besiroglu", compute=5.76e23)
        self.assertAlmostEqual(plan["tokens_per_param"], 18.3, delta=0.1)
        plan = longrun.plan("besiroglu", money=1e6, deadline_days=30,
                            cluster=ROOT / "examples/clusters/aws-p5-h100.yaml")
        self.assertEqual(plan["binding"], "money")
        self.assertAlmostEqual(plan["cluster"]["cost"] / 1e6, 1, delta=0.01)

    def test_by_a_fit_with_intervals(self):
        params, tokens, loss = runs()
        fit = longrun.fit(params=params, tokens=tokens, loss=loss, resamples=300)
        plan = longrun.plan(fit, compute=1e24)
        low, high = plan["intervals"]["params"]["80"]
        self.assertLess(low, plan["params"])
        self.assertGreater(high, plan["params"])
        best = fit.optimal(1e24)
        self.assertAlmostEqual(plan["params"] / best["params"], 1, delta=1e-4)

    def test_questions_that_make_no_sense(self):
        for arguments, message in [({}, "nothing says how large"),
                                   ({"compute": -1}, "compute: above 0"),
                                   ({"money": 1e6}, "cluster"),
                                   ({"compute": 1e22, "context": 0}, "context")]:
            with self.assertRaisesRegex(ValueError, message):
                longrun.plan("besiroglu", **arguments)
        with self.assertRaisesRegex(ValueError, 'did you mean "hoffmann"'):
            longrun.plan("hofmann", compute=1e22)
        with self.assertRaisesRegex(longrun.Refused, "out of reach"):
            longrun.plan("besiroglu", target_loss=1.7)


@NEEDS_DATA
class Chinchilla(unittest.TestCase):

    @unittest.skipIf(pandas is None, "pandas is not installed")
    def test_the_replication(self):
        frame = pandas.read_csv(CHINCHILLA)
        fit = longrun.fit(frame, params="Model Size", compute="Training FLOP", loss="loss",
                          drop_highest=5)
        self.assertEqual((fit.points, fit.dropped), (240, 5))
        self.assertLessEqual(fit.objective, 0.00101827405)
        best = {"A": 477.842, "B": 2143.86, "E": 1.81724, "alpha": .347313, "beta": .367183}
        for name, value in best.items():
            self.assertAlmostEqual(fit.parameters[name] / value, 1, delta=0.001)
        low, high = fit.intervals["beta"][95]
        self.assertAlmostEqual(low, .331, delta=0.01)
        self.assertAlmostEqual(high, .415, delta=0.01)

    @unittest.skipIf(pandas is None, "pandas is not installed")
    def test_the_example_runs(self):
        result = subprocess.run([sys.executable, ROOT / "examples/chinchilla_replication.py",
                                 CHINCHILLA], capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("18.3, 10.5 to 29.7", result.stdout)
        self.assertIn("sum of Huber 0.0010182740", result.stdout)

    def test_the_command_line_reads_what_python_kept(self):
        binary = os.environ.get("LONGRUN_BIN")
        if not binary:
            self.skipTest("LONGRUN_BIN is not set")
        params, tokens, loss = runs()
        fit = longrun.fit(params=params, tokens=tokens, loss=loss, resamples=100)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "fit.json"
            fit.save(path)
            result = subprocess.run([pathlib.Path(binary) / "longrun", "plan", path, "--compute",
                                     "1e24", "--json"], capture_output=True, text=True, check=True)
        self.assertEqual(json.loads(result.stdout)["params"],
                         longrun.plan(fit, compute=1e24)["params"])


if __name__ == "__main__":
    unittest.main()
