#!/usr/bin/env python3
"""Training throughput beside nanoGPT's, on the same libtorch, turn by turn in one run.

  bench/train_vs_nanogpt.py --nanogpt DIR [--bench build/bin/train_bench] [--rounds 5] [--json]

DIR is a checkout of karpathy/nanoGPT (its model.py is imported, nothing else). Both do whole steps:
forward, backward, clipping and AdamW, without dropout or biases, on random tokens. Each round runs
one and then the other, so that whatever else the machine does meets both; medians are compared.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time

SHAPE = {"layers": 6, "heads": 6, "d-model": 384, "context": 256, "batch": 12, "vocab": 65}


def nanogpt_stepper(torch, model_module, bf16):
    """A function that takes one training step of nanoGPT."""
    torch.manual_seed(1)
    config = model_module.GPTConfig(
        block_size=SHAPE["context"], vocab_size=SHAPE["vocab"], n_layer=SHAPE["layers"],
        n_head=SHAPE["heads"], n_embd=SHAPE["d-model"], dropout=0.0, bias=False)
    with contextlib.redirect_stdout(io.StringIO()):
        model = model_module.GPT(config)
        optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), "cpu")
    shape = (SHAPE["batch"], SHAPE["context"])
    inputs = torch.randint(0, SHAPE["vocab"], shape)
    targets = torch.randint(0, SHAPE["vocab"], shape)

    def step():
        context = (torch.autocast("cpu", dtype=torch.bfloat16) if bf16
                   else contextlib.nullcontext())
        with context:
            _, loss = model(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def nanogpt_rate(step, steps):
    started = time.perf_counter()
    for _ in range(steps):
        step()
    elapsed = time.perf_counter() - started
    return steps * SHAPE["batch"] * SHAPE["context"] / elapsed


def longrun_rate(bench, precision, steps, threads):
    command = [bench, "--json", "--precision", precision, "--steps", str(steps), "--runs", "1",
               "--threads", str(threads)]
    for name, value in SHAPE.items():
        command += [f"--{name}", str(value)]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(line)["tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", required=True, help="a checkout of karpathy/nanoGPT")
    parser.add_argument("--bench", default="build/bin/train_bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["bf16", "f32", "both"], default="both")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    if not os.path.exists(os.path.join(args.nanogpt, "model.py")):
        print(f"skipped: no model.py in {args.nanogpt}")
        return
    try:
        import torch
    except ImportError:
        print("skipped: this Python has no torch (Debian: apt-get install python3-torch)")
        return
    sys.path.insert(0, args.nanogpt)
    import model as model_module

    torch.set_num_threads(args.threads)
    results = {}
    for precision in ["bf16", "f32"] if args.precision == "both" else [args.precision]:
        step = nanogpt_stepper(torch, model_module, precision == "bf16")
        nanogpt_rate(step, 2)
        ours, theirs = [], []
        for _ in range(args.rounds):
            theirs.append(nanogpt_rate(step, args.steps))
            ours.append(longrun_rate(args.bench, precision, args.steps, args.threads))
        a, b = statistics.median(ours), statistics.median(theirs)
        results[precision] = {"longrun": a, "nanogpt": b, "ratio": a / b,
                              "longrun_all": ours, "nanogpt_all": theirs}
        if not args.json:
            print(f"{precision:4}  longrun {a:7.0f} tokens/s   nanoGPT (torch {torch.__version__}) "
                  f"{b:7.0f} tokens/s   ratio of medians {a / b:.2f}   "
                  f"(rounds: {', '.join(f'{x / y:.2f}' for x, y in zip(ours, theirs))})")
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
