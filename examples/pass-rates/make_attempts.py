"""Writes attempts.csv: a benchmark whose truth is known, to see what `longrun passrate` finds.

−log p of a problem is h·(C/1e18)^(−0.15), h spread over a factor of 10 (and four problems far
beyond); five models, 200 attempts each. Its mean at 1e24 FLOP is printed for comparison.
"""

import math
import pathlib
import random

K = 0.15
MODELS = {"1e18": 1e18, "4e18": 4e18, "2e19": 2e19, "8e19": 8e19, "4e20": 4e20}


def neg_log(hardness, compute):
    return hardness * (compute / 1e18) ** -K


def main():
    draw = random.Random(20)
    hardness = [0.35 * 10 ** draw.random() for _ in range(56)] + [8, 9, 11, 14]
    rows = ["problem,model,compute,attempts,passes"]
    for number, h in enumerate(hardness):
        for model, compute in MODELS.items():
            rate = math.exp(-neg_log(h, compute))
            passes = sum(draw.random() < rate for _ in range(200))
            rows.append(f"p{number + 1:02},{model},{compute:g},200,{passes}")
    path = pathlib.Path(__file__).with_name("attempts.csv")
    path.write_text("\n".join(rows) + "\n")
    solved = hardness[:56]
    at = [neg_log(h, 1e24) for h in solved]
    print(f"the first 56 problems at 1e24 FLOP: −E[log p] = {sum(at) / 56:.4f}, "
          f"pass rate {100 * sum(math.exp(-x) for x in at) / 56:.2f} %")


if __name__ == "__main__":
    main()
