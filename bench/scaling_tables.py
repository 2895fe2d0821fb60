"""Published scaling laws against what `longrun fit` makes of the same data: the tables of
docs/scaling.md, as Markdown.

  python3 bench/scaling_tables.py FOLDER

FOLDER holds chinchilla_figure4_points.csv (epoch-research/analyzing-chinchilla) and
overtraining_104_models.csv (mlfoundations/scaling). The binary is $LONGRUN_BIN/longrun, else
build/bin/longrun.
"""

import csv
import json
import math
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ.get("LONGRUN_BIN", ROOT / "build" / "bin")) / "longrun"
NAMES = ("A", "B", "E", "alpha", "beta")
CHINCHILLA_FLOP = 5.76e23


def fit(data, *flags, stdin=None):
    result = subprocess.run([BIN, "fit", data, *map(str, flags), "--json"], capture_output=True,
                            text=True, check=True, input=stdin)
    return json.loads(result.stdout)


def table(title, head, rows):
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def figures(values, digits=5):
    return [f"{value:.{digits}g}" for value in values]


def replication(data):
    """Besiroglu et al. 2024 (arXiv:2404.10102), and Hoffmann's points all together."""
    published = (
        ("240 points, Huber 1e-3", ("--drop-highest", 5),
         (477.842, 2143.86, 1.81724, .347313, .367183), "0.0010182740"),
        ("240 points, free scale", ("--drop-highest", 5, "--free-scale"),
         (482.006, 2085.43, 1.81686, .34781, .36585), ""),
        ("all 245 points, Huber 1e-3", (), (495.7, 12846, 1.8913, .3493, .4531), "0.0018260"),
        ("217 points below 1e21 FLOP, squares, N in millions, D in billions",
         ("--drop-highest", 5, "--max-compute", 1e6, "--mse", "--params", "Model Size:1e-6",
          "--compute", "Training FLOP:1e-15"),
         (4.0005, 1.0509, 1.9051, .3511, .4587), "0.062414"))
    rows = []
    for what, flags, theirs, objective in published:
        answer = fit(data, *flags, "--bootstrap", 0)
        rows.append([what, "theirs", *figures(theirs), objective])
        shown = answer["objective"] if "free" not in what else None
        rows.append(["", "ours", *figures(answer["parameters"][n] for n in NAMES),
                     "" if shown is None else f"{shown:.10f}"])
    table("Chinchilla's form", ["fit", "", *NAMES, "objective"], rows)


def resamples(data):
    answer = fit(data, "--drop-highest", 5)
    growth = answer["growth"]
    theirs = {"A": (124.52, "285 – 744"), "B": (1293.28, "1042 – 5810"),
              "E": (.02566, "1.769 – 1.871"), "alpha": (.01540, ".317 – .373"),
              "beta": (.02060, ".331 – .415")}
    rows = []
    for name, (error, interval) in theirs.items():
        low, high = answer["intervals"][name]["95"]
        rows.append([name, f"{error:g}", f"{answer['standard_errors'][name]:.4g}", interval,
                     f"{low:.4g} – {high:.4g}"])
    rows.append(["a = β/(α+β)", ".020", f"{growth['standard_error']:.3g}", "",
                 "{:.3f} – {:.3f}".format(*growth["intervals"]["95"])])
    table("Standard errors and 95 % intervals of 4,000 case resamples",
          ["parameter", "± theirs", "± ours", "95 % theirs", "95 % ours"], rows)


def tokens_per_param(data):
    rows = []
    base = ("--drop-highest", 5, "--budget", CHINCHILLA_FLOP)
    for what, flags, theirs, beta in (
            ("free scale", (*base, "--free-scale"), "18.3", ".3659"),
            ("δ = 1e-5", (*base, "--huber", 1e-5), "18.3", ".3658"),
            ("δ = 1e-2", (*base, "--huber", 1e-2), "16.9", ".3815"),
            ("δ = 0.1", (*base, "--huber", .1), "14.3", ".4059"),
            ("all 245 points", ("--budget", CHINCHILLA_FLOP), "6.8", ".4531")):
        wide = what == "free scale"
        answer = fit(data, *flags, "--bootstrap", 4000 if wide else 0)
        best = answer["optimal"][0]
        if wide:
            theirs += " (80 %: 10.5 – 29.7)"
        interval = ""
        if wide:
            interval = " (80 %: {:.1f} – {:.1f})".format(
                *best["intervals"]["tokens_per_param"]["80"])
        rows.append([what, beta, f"{answer['parameters']['beta']:.4f}", theirs,
                     f"{best['tokens_per_param']:.1f}{interval}"])
    table("Tokens per parameter at 5.76e23 FLOP",
          ["fit", "β theirs", "β ours", "tokens/param theirs", "ours"], rows)


def law_growth(p):
    """ln k and a of N = k·C^a for Chinchilla's form."""
    total = p["alpha"] + p["beta"]
    log_g = math.log(p["alpha"] * p["A"] / (p["beta"] * p["B"])) / total
    exponent = p["beta"] / total
    return log_g - exponent * math.log(6), exponent


def hoffmann(data):
    """Hoffmann et al. 2022, tables 2, 3 and A3: the compute for which a size is the best."""
    ours = []
    for law in ("envelope", "isoflop"):
        p = fit(data, "--law", law, "--drop-highest", 5, "--bootstrap", 0)["parameters"]
        ours.append((math.log(p["k"]), p["a"]))
    unrounded = dict(zip(NAMES, (406.401, 410.723, 1.69337, .33917, .28491)))
    ours.append(law_growth(unrounded))
    ours.append(law_growth(fit(data, "--drop-highest", 5, "--bootstrap", 0)["parameters"]))
    rows = [["a of N ∝ C^a", ".50 (.488–.502)", f"{ours[0][1]:.3f}", ".49 (.462–.534)",
             f"{ours[1][1]:.3f}", ".46 (.454–.455)", f"{ours[2][1]:.3f}", f"{ours[3][1]:.3f}"]]
    for name, size, published in (
            ("1 B", 1e9, ("1.21e20 / 20.2 B", "1.20e20 / 20.0 B", "1.62e20 / 27.1 B")),
            ("10 B", 1e10, ("1.23e22 / 205 B", "1.32e22 / 219.5 B", "2.46e22 / 410 B")),
            ("67 B", 6.7e10, ("5.76e23 / 1.5 T", "6.88e23 / 1.7 T", "1.71e24 / 4.1 T")),
            ("175 B", 1.75e11, ("3.85e24 / 3.7 T", "4.54e24 / 4.3 T", "1.26e25 / 12.0 T")),
            ("1 T", 1e12, ("1.27e26 / 21.2 T", "1.59e26 / 26.5 T", "5.65e26 / 94.1 T"))):
        cells = []
        for log_k, exponent in ours:
            compute = math.exp((math.log(size) - log_k) / exponent)
            tokens = compute / (6 * size)
            amount = f"{tokens / 1e9:.4g} B" if tokens < 1e12 else f"{tokens / 1e12:.3g} T"
            cells.append(f"{compute:.2e}".replace("e+", "e") + " / " + amount)
        rows.append([name, published[0], cells[0], published[1], cells[1], published[2], cells[2],
                     cells[3]])
    table("The FLOP and tokens for which a size is the best one",
          ["N", "approach 1", "ours (envelope)", "approach 2", "ours (isoflop)", "approach 3",
           "their law, inverted", "our fit of the 240 points"], rows)


def kaplan():
    """Kaplan et al. 2020: no runs are public, so the points lie on the published curves."""
    rows = []
    for law, column, constant, exponent, shown in (
            ("power-params", "N", 8.8e13, .076, "α_N .076, N_c 8.8e13"),
            ("power-tokens", "D", 5.4e13, .095, "α_D .095, D_c 5.4e13"),
            ("power-compute", "C", 3.1e8, .050, "α_C .050, C_c 3.1e8 PF-days")):
        lines = [f"{column},loss"]
        for i in range(20):
            size = constant * 10**(-9 + .3 * i)
            lines.append(f"{size!r},{(constant / size)**exponent!r}")
        unit = f"{column}:PF-days" if column == "C" else column
        flag = {"N": "--params", "D": "--tokens", "C": "--compute"}[column]
        p = fit("-", "--law", law, flag, unit, "--bootstrap", 0,
                stdin="\n".join(lines) + "\n")["parameters"]
        coefficient, found = (p["a"], -p["b"]) if law == "power-compute" else (
            p["A" if column == "N" else "B"], p["alpha" if column == "N" else "beta"])
        scale = 8.64e19 if column == "C" else 1
        rows.append([shown, f"{found:.4f}", f"{coefficient**(1 / found) / scale:.3g}",
                     f"{p.get('E', p.get('c')):.1e}"])
    lines = ["N,D,loss"]
    for i in range(6):
        for j in range(5):
            n, d = 1e6 * 10**(i / 1.5), 1e8 * 10**(j / 1.2)
            lines.append(f"{n!r},{d!r},{((8.8e13 / n)**(.076 / .095) + 5.4e13 / d)**.095!r}")
    p = fit("-", "--law", "kaplan", "--bootstrap", 0, stdin="\n".join(lines) + "\n")["parameters"]
    rows.append(["L(N, D): α_N .076, N_c 8.8e13, α_D .095, D_c 5.4e13",
                 f"{p['alpha_N']:.4f}, {p['alpha_D']:.4f}", f"{p['N_c']:.3g}, {p['D_c']:.3g}", ""])
    table("Kaplan's constants, from points on the published curves",
          ["published", "exponent ours", "constant ours", "floor ours"], rows)


def gadre(data):
    """Gadre et al. 2024 (arXiv:2403.08540): five small runs foretell two large ones."""
    small = "|".join(f"rpj-d={shape}-{multiple}" for shape, multiple in (
        ("96_l=8_h=4", "1.0"), ("512_l=8_h=4", "1.0"), ("576_l=24_h=8", "1.0"),
        ("1024_l=24_h=8", "1.0"), ("96_l=8_h=4", "16.0")))
    p = fit(data, "--params", "N", "--tokens", "D", "--loss", "loss_c4_val", "--where",
            f"name={small}", "--law", "overtraining", "--mse", "--bootstrap", 0)["parameters"]
    rows = [["a·6^−eta, b, −2·eta, E", "166.211, 366.687, −.272851, 1.836648",
             f"{p['a'] / 6**p['eta']:.3f}, {p['b']:.3f}, {-2 * p['eta']:.6f}, {p['E']:.6f}"]]
    with open(data, encoding="utf-8") as file:
        runs = {row["name"]: row for row in csv.DictReader(file)}
    for name, what, published in (("rpj-open_lm_1b-32.0", "1.4B, 921B tokens", "0.7103 %"),
                                  ("rpj-open_lm_7b-1.0", "6.9B, 138B tokens", "0.7320 %")):
        n, d = float(runs[name]["N"]), float(runs[name]["D"])
        c, m = 6 * n * d, d / n
        foretold = p["E"] + (p["a"] * m**p["eta"] + p["b"] * m**-p["eta"]) * c**-p["eta"]
        reached = float(runs[name]["loss_c4_val"])
        rows.append([f"error of the loss foretold for {what}", published,
                     f"{100 * abs(foretold / reached - 1):.4f} %"])
    table("The over-training law from five RedPajama runs", ["", "theirs", "ours"], rows)


def main():
    folder = pathlib.Path(sys.argv[1])
    data = folder / "chinchilla_figure4_points.csv"
    replication(data)
    resamples(data)
    tokens_per_param(data)
    hoffmann(data)
    kaplan()
    gadre(folder / "overtraining_104_models.csv")


if __name__ == "__main__":
    main()
