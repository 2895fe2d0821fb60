"""Fits of scaling laws: from arrays or frames to parameters, intervals and predictions."""

import datetime
import os

import numpy as np

from longrun import _longrun

SIZES = ("params", "tokens", "compute", "experts")


def _columns(frame, named):
    """{"params": array, …} from arrays, or from names of columns of `frame`."""
    columns = {}
    for name, value in named.items():
        if value is None:
            continue
        if isinstance(value, str):
            if frame is None:
                raise ValueError(f"{name}={value!r} names a column, and there is no frame")
            try:
                value = frame[value]
            except (KeyError, ValueError, IndexError):
                there = list(frame.columns if hasattr(frame, "columns") else frame)
                raise ValueError(f"{name}: there is no column {value!r}; there are "
                                 f"{', '.join(map(repr, there))}") from None
        try:
            columns[name] = np.atleast_1d(np.asarray(value, dtype=float))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from None
    return columns


def fit(frame=None, *, params=None, tokens=None, compute=None, experts=None, loss=None, run=None,
        law="chinchilla", objective="huber", delta=1e-3, drop_highest=0, min_tokens_per_param=0,
        max_compute=0, resamples=4000, resample=None, seed=1, threads=None):
    """Fits `law` to runs and returns a Fit.

    params, tokens, compute, experts, loss: arrays of one length, or names of columns of `frame`. Of
        the first three two will do: compute = 6 · params · tokens. Sizes are counts and FLOP, the
        loss is in nats.
    run: tells which rows are checkpoints of one run (any values); resamples then draw whole runs.
    law: chinchilla, kaplan, overtraining, power-compute, power-params, power-tokens, routed.
    objective: "huber" (Σ Huber_delta of residuals of ln L), "free-scale" (its density, the scale
        fitted as well) or "mse" (Σ squares of residuals of L).
    drop_highest, min_tokens_per_param, max_compute: rows that are left out by rule.
    resamples: of the bootstrap, 0 for none; resample: "cases", "runs" or "residuals".

    Raises ValueError for data that cannot be fitted. A fit that must not be trusted is returned
    with `trusted` False and its reasons in `refusals`; it raises Refused when it is used.
    """
    columns = _columns(frame, {"params": params, "tokens": tokens, "compute": compute,
                               "experts": experts, "loss": loss})
    if "loss" not in columns:
        raise ValueError("loss: is missing; an array or the name of a column is right")
    runs = []
    if run is not None:
        values = frame[run] if isinstance(run, str) else run
        runs = np.unique(np.asarray(values), return_inverse=True)[1].tolist()
        if len(runs) != len(columns["loss"]):
            raise ValueError(f"run: {len(runs)} values for {len(columns['loss'])} losses")
    options = _longrun.FitOptions()
    options.law, options.objective, options.delta = law, objective, delta
    options.drop_highest, options.max_compute = drop_highest, max_compute
    options.min_tokens_per_param = min_tokens_per_param
    options.resamples, options.seed = resamples, seed
    options.resample = resample or ("runs" if runs else "cases")
    options.threads = threads or os.cpu_count() or 1
    now = datetime.datetime.now(datetime.timezone.utc)
    options.made = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
    return Fit(_longrun.fit(columns, runs, options))


def load(path):
    """The Fit that Fit.save or `longrun fit --out` wrote."""
    with open(path, encoding="utf-8") as file:
        return Fit(_longrun.read_fit(file.read(), str(path)))


class Fit:
    """A law and what the data say of its parameters. Made by fit() and load()."""

    def __init__(self, held):
        self._held = held
        self.law = held.law()
        self.formula = held.formula()
        # Natural parameters by name, for chinchilla A, B, E, alpha and beta.
        self.parameters = dict(zip(held.parameter_names(), held.parameters()))
        # {"alpha": {50: (low, high), 80: …, 95: …}, …} over the resamples.
        self.intervals = held.intervals()
        self.objective = held.objective_sum()
        self.points = held.points()
        self.dropped = held.dropped()
        self.residuals = held.residuals()  # ln L − ln of the law's, in the order of the points
        self.warnings = held.warnings()
        self.trusted = held.trusted()
        self.refusals = held.refusals()  # [(reason, what to measure next), …]

    def __repr__(self):
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters.items())
        state = "" if self.trusted else ", not to be trusted"
        return f"<longrun.Fit {self.law}: {values}; {self.points} points{state}>"

    @property
    def resamples(self):
        """Parameters of each resample: an array of resamples × parameters."""
        return self._held.resamples()

    def loss(self, frame=None, *, params=None, tokens=None, compute=None, experts=None):
        """The law's losses at these sizes (arrays, numbers, or columns of `frame`), an array."""
        return self._held.losses(_columns(frame, {"params": params, "tokens": tokens,
                                                  "compute": compute, "experts": experts}))

    def predict(self, frame=None, *, params=None, tokens=None, compute=None, experts=None,
                threads=None):
        """What runs of these sizes will reach: a dict of arrays, ready for pandas.DataFrame.

        With compute alone, the best sizes for it. "loss", "lower_80" and "upper_80" (50 and 95 as
        well) with the noise of a run, the law's form and what held-out runs taught in them,
        "orders_beyond" the largest run fitted. Raises ValueError outside the law's domain.
        """
        columns = _columns(frame, {"params": params, "tokens": tokens, "compute": compute,
                                   "experts": experts})
        if not columns:
            raise ValueError("which runs? params and tokens, or compute, are right")
        return self._held.predictions(columns, threads or os.cpu_count() or 1)

    def optimal(self, compute):
        """The compute-optimal params and tokens for `compute` FLOP, with intervals: a dict."""
        return self._held.optimal(float(compute))

    def save(self, path):
        """Writes what load() and longrun's predict, check and plan read."""
        text = self._held.text()
        temporary = f"{path}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
