"""How fast and how right `longrun fit` is on the Chinchilla replication, beside the targets, and
the published grid of starts in SciPy beside it where SciPy is there.

  python3 bench/fit_bench.py chinchilla_figure4_points.csv              a sample of SciPy's starts
  python3 bench/fit_bench.py chinchilla_figure4_points.csv --full-grid  all 4,500, a minute or two

The binary is $LONGRUN_BIN/longrun, else build/bin/longrun.
"""

import argparse
import csv
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ.get("LONGRUN_BIN", ROOT / "build" / "bin")) / "longrun"
NAMES = ("A", "B", "E", "alpha", "beta")
# Besiroglu et al. 2024 (arXiv:2404.10102): the best of the grid, the row printed, its errors.
GRID_BEST = dict(zip(NAMES, (477.842, 2143.86, 1.81724, .347313, .367183)))
PRINTED = dict(zip(NAMES, (482.006, 2085.43, 1.81686, .34781, .36585)))
ERRORS = dict(zip(NAMES, (124.52, 1293.28, .02566, .01540, .02060)))
GRID = list(itertools.product((0, .5, 1, 1.5, 2), (0, .5, 1, 1.5, 2), (-1, -.5, 0, .5, 1),
                              (0, 5, 10, 15, 20, 25), (0, 5, 10, 15, 20, 25)))


def fit(data, *flags):
    begin = time.perf_counter()
    result = subprocess.run([BIN, "fit", data, "--drop-highest", "5", "--json", *map(str, flags)],
                            capture_output=True, text=True, check=True)
    return json.loads(result.stdout), time.perf_counter() - begin


def off(ours, theirs):
    return max(abs(ours[name] / theirs[name] - 1) for name in NAMES)


def line(what, value, target=""):
    print(f"{what:<58}{value:>18}   {target}")


def bench_ours(data, rounds):
    answers = [fit(data, "--bootstrap", 0, "--threads", 1) for _ in range(rounds)]
    answer = answers[0][0]
    line("sum of Huber(1e-3) over 240 points", f"{answer['objective']:.12f}", "≤ 0.00101827405")
    line("parameters from the grid's best, at most",
         f"{100 * off(answer['parameters'], GRID_BEST):.4f} %", "≤ 0.1 %")
    line("CSV to parameters, one thread, median",
         f"{statistics.median(a['seconds'] for a, _ in answers):.3f} s", "≤ 0.15 s")
    line("the whole command so, median", f"{statistics.median(w for _, w in answers):.3f} s")
    free = fit(data, "--free-scale", "--bootstrap", 0, "--threads", 1)[0]
    line("free scale: parameters from the printed row, at most",
         f"{100 * off(free['parameters'], PRINTED):.4f} %", "≤ 0.2 %")
    line("free scale: CSV to parameters, one thread", f"{free['seconds']:.3f} s")
    boots = [fit(data, "--bootstrap", 4000, "--threads", 2, "--seed", seed)[0]
             for seed in range(1, rounds + 1)]
    line("4,000 refits, 2 threads, median",
         f"{statistics.median(b['bootstrap_seconds'] for b in boots):.2f} s", "≤ 2 s")
    for name in NAMES:
        ratios = [100 * (b["standard_errors"][name] / ERRORS[name] - 1) for b in boots]
        line(f"standard error of {name} against the published, {rounds} seeds",
             f"{min(ratios):+.1f} … {max(ratios):+.1f} %", "within 5 %")
    return answer["objective"]


def bench_scipy(data, full):
    try:
        import numpy as np
        from scipy.optimize import minimize
    except ImportError:
        line("SciPy's grid of 4,500 starts", "SciPy is absent", "87 s as published facts have it")
        return
    with open(data, encoding="utf-8") as file:
        rows = [(float(r["Model Size"]), float(r["Training FLOP"]), float(r["loss"]))
                for r in csv.DictReader(file)]
    rows = sorted(rows, key=lambda row: row[2])[:-5]
    n, c, losses = (np.array(column) for column in zip(*rows))
    log_n, log_d, log_loss = np.log(n), np.log(c / (6 * n)), np.log(losses)

    def objective(x):
        a, b, e, alpha, beta = x
        r = np.logaddexp(np.logaddexp(a - alpha * log_n, b - beta * log_d), e) - log_loss
        size = np.abs(r)
        return np.where(size <= 1e-3, r * r / 2, 1e-3 * (size - 5e-4)).sum()

    starts = GRID if full else GRID[::45]
    best = float("inf")
    begin = time.perf_counter()
    for alpha, beta, e, a, b in starts:
        found = minimize(objective, (a, b, e, alpha, beta), method="L-BFGS-B")
        best = min(best, found.fun)
    seconds = time.perf_counter() - begin
    line(f"SciPy L-BFGS-B, numeric gradients, {len(starts)} starts", f"{seconds:.1f} s")
    if not full:
        line("  all 4,500 at that pace", f"{seconds * len(GRID) / len(starts):.0f} s")
    line("  the best sum it found", f"{best:.12f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full-grid", action="store_true")
    arguments = parser.parse_args()
    bench_ours(arguments.data, arguments.rounds)
    bench_scipy(arguments.data, arguments.full_grid)


if __name__ == "__main__":
    main()
