#!/usr/bin/env python3
"""Kills ranks, or the controller, of a training run and prints how long it took to go on.

  bench/recovery.py                        20 times kill -9 of a rank, 4 ranks and a spare
  bench/recovery.py --kill controller      20 times kill -9 of the controller
  bench/recovery.py --losses               5 kills against the same seed without any: every loss
  bench/recovery.py --checkpoints          how long a step stands still for a checkpoint

Needs build/bin/longrun and longrun-worker (scripts/run builds them). The model has 3.2 M
parameters, so a newcomer is sent 9.6 M floats of parameters and AdamW state. Prints medians, not
means: a busy machine shows in the worst case.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

COMMITTED, PUBLISHED = 5, 9  # kinds of events, by their place among fleet::EventBody

MODEL = """
model: {{layers: 4, heads: 4, d_model: 256, context: 64, dropout: 0, bias: true}}
data: {{text: ["{text}"], vocab_size: 512, validation_fraction: 0.05}}
optimizer: {{kind: adamw}}
schedule: {{lr: 0.001, decay_steps: 100000, warmup_steps: 100}}
batch: 4
steps: {steps}
precision: {precision}
evaluate_every: 0
seed: 7
threads: 1
checkpoint: {{every: {checkpoint}}}
output: model
"""

MANIFEST = """
apiVersion: longrun.dev/v1
kind: Run
metadata: {{name: {name}}}
spec:
  ranks: 4
  spares: {spares}
  resources: {{accelerators: 1}}
  command: [longrun-worker, train, --config, {config}]
"""


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def text_at(data, at):
    length, at = varint(data, at)
    return data[at:at + length].decode(), at + length


def body_at(payload):
    """Where the body of an event begins (src/base/codec.h has the encoding)."""
    _, at = varint(payload, 0)  # the event's length
    for _ in range(2):  # its time and its source
        length, at = varint(payload, at)
        at += length
    _, at = varint(payload, at)  # which alternative
    _, at = varint(payload, at)  # its length
    return at


def committed(payload):
    """Member, step, loss and seconds of a MemberCommitted event."""
    _, at = text_at(payload, body_at(payload))  # the run's name
    member, at = varint(payload, at)
    _, at = varint(payload, at)  # incarnation
    step, at = varint(payload, at)
    loss = struct.unpack_from("<d", payload, at)[0]
    _, at = varint(payload, at + 8)  # tokens
    return member >> 1, step >> 1, loss, struct.unpack_from("<d", payload, at)[0]


def published(payload):
    """Step, seconds in the background and seconds of stall of a CheckpointPublished event."""
    _, at = text_at(payload, body_at(payload))
    _, at = varint(payload, at)  # member
    step, at = varint(payload, at)
    return step >> 1, *struct.unpack_from("<dd", payload, at)


class Training:
    """A run of the four-rank model under its own controller, in a folder of its own."""

    def __init__(self, args, name, steps, spares=1, checkpoint="50"):
        self.longrun = str(pathlib.Path(args.bin) / "longrun")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="longrun-bench-"))
        self.name = name
        text = self.folder / "text.txt"
        self.write_text(text)
        config = self.folder / "gpt.yaml"
        config.write_text(MODEL.format(text=text, steps=steps, precision=args.precision,
                                       checkpoint=checkpoint))
        manifest = self.folder / "run.yaml"
        manifest.write_text(MANIFEST.format(name=name, config=config, spares=spares))
        self.state = self.folder / "state"
        self.log = open(self.folder / "stderr", "w")
        self.process = subprocess.Popen(
            [self.longrun, "run", str(manifest), "--json", "--state", str(self.state)],
            stdout=subprocess.PIPE, stderr=self.log, text=True)

    @staticmethod
    def write_text(path):
        fortunes = sorted(pathlib.Path("/usr/share/games/fortunes").glob("*"))
        fortunes = [p for p in fortunes if p.suffix == "" and p.is_file()]
        if fortunes:
            path.write_bytes(b"".join(p.read_bytes() for p in fortunes[:12])[:400_000])
            return
        words = random.Random(1)
        path.write_text(" ".join(words.choice(["the", "cat", "sat", "on", "a", "mat"])
                                 for _ in range(80_000)))

    def status(self):
        """The run as `longrun status` tells it; nothing while no controller answers."""
        answer = subprocess.run([self.longrun, "status", self.name, "--json", "--state",
                                 str(self.state)], capture_output=True, text=True)
        if answer.returncode != 0 or not answer.stdout.strip():
            return None
        told = json.loads(answer.stdout.strip().splitlines()[-1])
        return told["runs"][0] if told["controller"] is not None and told["runs"] else None

    def wait(self, condition, what, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                sys.exit(f"the run ended while waiting for {what}; see {self.folder}")
            view = self.status()
            if view is not None and condition(view):
                return view
            time.sleep(0.05)
        sys.exit(f"waited {seconds} s in vain for {what}; see {self.folder}")

    def whole(self, view):
        ready = [m for m in view["members"] if m["rank"] is None and m["phase"] == "ready"]
        return (view["phase"] == "running" and view["step"] > 0 and ready
                and all(r["over"] for r in view["recoveries"]))

    def finish(self):
        out, _ = self.process.communicate(timeout=900)
        return json.loads(out.strip().splitlines()[-1])

    def cancel(self):
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    def events(self, kind, read):
        """What `read` makes of each event in the journal whose place in fleet::EventBody is
        `kind`."""
        with sqlite3.connect(f"file:{self.state / 'journal.db'}?mode=ro", uri=True) as journal:
            rows = journal.execute("SELECT payload FROM record WHERE kind = ? ORDER BY seq",
                                   (kind,))
            return [read(payload) for (payload,) in rows]

    def losses(self):
        """Loss of every step as any rank told it: step → the losses told."""
        told = {}
        for _, step, loss, _ in self.events(COMMITTED, committed):
            told.setdefault(step, set()).add(loss)
        return told


def measure_checkpoints(args):
    """The step after which a rank copies its slices waits for the copy; the one after it shares
    the cores with the thread that writes them."""
    every, steps = 20, 400
    training = Training(args, "bench-checkpoint", steps, spares=0, checkpoint=str(every))
    training.finish()
    stalls = [stall for _, _, stall in training.events(PUBLISHED, published)]
    writes = [write for _, write, _ in training.events(PUBLISHED, published)]
    seconds = {}
    for _, step, _, own in training.events(COMMITTED, committed):
        if step > every:  # the first ones warm up
            seconds.setdefault(step, []).append(own)
    times = {step: max(own) for step, own in seconds.items()}  # the slowest rank's
    after = [t for step, t in times.items() if step % every == 1]
    others = [t for step, t in times.items() if step % every not in (0, 1, 2)]
    step, stall = statistics.median(others), statistics.median(stalls)
    print(f"checkpoints                  {len(stalls):8}, one in {every} steps")
    print(f"step time, no checkpoint     {step * 1e3:8.1f} ms, median")
    print(f"step time, right after one   {statistics.median(after) * 1e3:8.1f} ms, median")
    print(f"written in the background in {statistics.median(writes) * 1e3:8.1f} ms, median")
    print(f"stall: the copy              {stall * 1e3:8.2f} ms, median "
          f"({max(stalls) * 1e3:.2f} worst)")
    print(f"stall of that one step       {stall / step * 100:8.2f} %")
    print(f"stall of all step time       {sum(stalls) / sum(times.values()) * 100:8.2f} %")


def kill_ranks(args):
    training = Training(args, "bench-kill-rank", steps=1_000_000)
    rng = random.Random(args.seed)
    for kill in range(args.kills):
        view = training.wait(training.whole, "a whole gang and a ready spare")
        time.sleep(rng.uniform(0.2, 0.7))  # any moment of a step
        ranks = {m["rank"]: m["pid"] for m in view["members"] if m["rank"] is not None}
        os.kill(ranks[rng.randrange(4)], signal.SIGKILL)
        view = training.wait(lambda v: len(v["recoveries"]) > kill and training.whole(v),
                             "the recovery")
        last = view["recoveries"][-1]
        print(f"kill {kill + 1:2}: {last['seconds'] * 1e3:6.0f} ms to the first committed step, "
              f"{last['joined_seconds'] * 1e3:6.0f} ms to the joined gang, "
              f"by {last['rung']}", flush=True)
    seconds = [r["seconds"] for r in view["recoveries"]]
    result = training.cancel()
    print(f"\nstep time             {view['step_seconds'] * 1e3:8.0f} ms")
    print(f"median                {statistics.median(seconds) * 1e3:8.0f} ms")
    print(f"worst                 {max(seconds) * 1e3:8.0f} ms")
    print(f"committed steps lost  {result['committed_steps_lost']:8}")


def kill_controllers(args):
    training = Training(args, "bench-kill-controller", steps=1_000_000)
    view = training.wait(training.whole, "a whole gang")
    members = {m["member"]: m["pid"] for m in view["members"]}
    rng = random.Random(args.seed)
    seconds = []
    for kill in range(args.kills):
        time.sleep(rng.uniform(0.3, 1.0))
        before = training.status()["step"]
        subprocess.run([training.longrun, "fault", "kill-controller", "--state",
                        str(training.state)], check=True, capture_output=True)
        start = time.monotonic()
        view = training.wait(lambda v: v["phase"] == "running", "an answer", 30)
        seconds.append(time.monotonic() - start)
        view = training.wait(lambda v: v["step"] > before, "progress", 30)
        print(f"kill {kill + 1:2}: status answers after {seconds[-1] * 1e3:5.0f} ms, "
              f"step {before} → {view['step']}", flush=True)
    view = training.wait(training.whole, "a whole gang")
    same = {m["member"]: m["pid"] for m in view["members"]} == members
    result = training.cancel()
    print(f"\nmedian                {statistics.median(seconds) * 1e3:8.0f} ms")
    print(f"worst                 {max(seconds) * 1e3:8.0f} ms")
    print(f"same processes        {same}")
    print(f"recoveries            {len(result['recoveries']):8}")
    print(f"committed steps lost  {result['committed_steps_lost']:8}")


def compare_losses(args):
    steps = 150
    calm = Training(args, "bench-calm", steps)
    calm_result = calm.finish()
    struck = Training(args, "bench-struck", steps)
    rng = random.Random(args.seed)
    for kill in range(5):
        view = struck.wait(lambda v: len(v["recoveries"]) >= kill and struck.whole(v), "a gang")
        time.sleep(rng.uniform(0.1, 0.4))
        ranks = {m["rank"]: m["pid"] for m in view["members"] if m["rank"] is not None}
        os.kill(ranks[rng.randrange(4)], signal.SIGKILL)
        struck.wait(lambda v: len(v["recoveries"]) > kill, "the fault to be seen")
    struck_result = struck.finish()
    a, b = calm.losses(), struck.losses()
    assert len(a) == len(b) == steps, (len(a), len(b))
    differing = [step for step in a if a[step] != b[step] or len(a[step]) != 1]
    print(f"kills                 {len(struck_result['recoveries']):8}")
    print(f"steps compared        {len(a):8}")
    print(f"steps that differ     {len(differing):8}")
    largest = max(max(a[s] | b[s]) - min(a[s] | b[s]) for s in a)
    print(f"largest difference    {largest:8.1e}")
    finals = [result["final_loss"] for result in (calm_result, struck_result)]
    print(f"final losses          {finals[0]:.6f} {finals[1]:.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=str(ROOT / "build" / "bin"))
    parser.add_argument("--kill", choices=["rank", "controller"], default="rank")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--losses", action="store_true")
    parser.add_argument("--checkpoints", action="store_true")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.losses:
        compare_losses(args)
    elif args.checkpoints:
        measure_checkpoints(args)
    elif args.kill == "controller":
        kill_controllers(args)
    else:
        kill_ranks(args)


if __name__ == "__main__":
    main()
