"""Replicates the replication of Chinchilla's law (Besiroglu et al. 2024), and plans by it.

    PYTHONPATH=build/python python3 examples/chinchilla_replication.py POINTS.csv

POINTS.csv: the points read off Hoffmann et al.'s figure 4 (epoch-research/analyzing-chinchilla).
"""

import sys

import pandas

import longrun

points = pandas.read_csv(sys.argv[1])
fit = longrun.fit(points, params="Model Size", compute="Training FLOP", loss="loss",
                  drop_highest=5)
print(f"{fit.formula}, {fit.points} points, sum of Huber {fit.objective:.11f}")
print(f"{'':6} {'ours':>10} {'published':>10}   80 %")
published = {"A": 482.006, "B": 2085.43, "E": 1.81686, "alpha": 0.34781, "beta": 0.36585}
for name, value in fit.parameters.items():
    low, high = fit.intervals[name][80]
    print(f"{name:6} {value:10.6g} {published[name]:10.6g}   {low:.6g} to {high:.6g}")

best = fit.optimal(5.76e23)
low, high = best["intervals"]["tokens_per_param"][80]
print(f"at 5.76e23 FLOP: {best['tokens_per_param']:.1f} tokens a parameter, 80 % {low:.1f} to "
      f"{high:.1f} (published: 18.3, 10.5 to 29.7)")

print(pandas.DataFrame(fit.predict(params=[70e9, 8e9], tokens=[1.4e12, 1e12]))
      [["params", "tokens", "loss", "lower_80", "upper_80", "orders_beyond"]].to_string())

plan = longrun.plan(fit, compute=5.76e23, served_tokens=1e13)
print(f"plan: {plan['params']:.3g} parameters on {plan['tokens']:.3g} tokens; to serve 1e13 tokens "
      f"{plan['over_trained']['params']:.3g} on {plan['over_trained']['tokens']:.3g}")
