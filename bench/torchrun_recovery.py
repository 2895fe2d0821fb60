#!/usr/bin/env python3
"""The peer of bench/recovery.py: kill -9 of a rank under torchrun, to the first step after it.

  /usr/bin/python3 bench/torchrun_recovery.py        (Debian: python3-torch)

Four ranks, DistributedDataParallel over gloo, 3.2 M parameters, a checkpoint each 50 steps.
torchrun stops the gang, starts it anew and the program loads its newest checkpoint: steps since
then are run again. Skips, saying so, where torch is missing.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

WORKER = '''
import os, sys, time, torch, torch.distributed as dist
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, folder = dist.get_rank(), sys.argv[1]
torch.manual_seed(1)
model = torch.nn.Sequential(*[torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.GELU(),
                                                  torch.nn.Linear(1024, 256)) for _ in range(6)])
optimizer = torch.optim.AdamW(model.parameters())
step = 0
if os.path.exists(folder + "/checkpoint"):
    saved = torch.load(folder + "/checkpoint")
    model.load_state_dict(saved["model"]); optimizer.load_state_dict(saved["optimizer"])
    step = saved["step"]
ddp = torch.nn.parallel.DistributedDataParallel(model)
data = torch.randn(64, 256)
open(f"{folder}/pid{rank}", "w").write(str(os.getpid()))
while True:
    optimizer.zero_grad(); (ddp(data) - data).square().mean().backward(); optimizer.step()
    step += 1
    if rank == 0:
        with open(folder + "/steps", "a") as log: log.write(f"{time.time()} {step}\\n")
        if step % 50 == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                        "step": step}, folder + "/checkpoint.tmp")
            os.replace(folder + "/checkpoint.tmp", folder + "/checkpoint")
'''


def steps(folder):
    try:
        with open(folder + "/steps") as log:
            return [(float(t), int(s)) for t, s in (line.split() for line in log if "\n" in line)]
    except FileNotFoundError:
        return []


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    kills = parser.parse_args().kills
    try:
        import torch
    except ImportError:
        print("skipped: this python3 has no torch (Debian: python3-torch, /usr/bin/python3)")
        return
    folder = tempfile.mkdtemp(prefix="torchrun-bench-")
    with open(folder + "/worker.py", "w") as file:
        file.write(WORKER)
    run = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=4", "--max_restarts=1000",
         "--monitor_interval=0.1", "--master_port=29611",
         # Its default, no redirection, is a flag of zero, which torch 1.13 does not find under
         # Python 3.11.
         "--redirects=1", "--tee=2", "--log_dir=" + folder + "/logs",
         folder + "/worker.py", folder],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    seconds, lost = [], []
    try:
        for kill in range(kills):
            seen = len(steps(folder))
            while len(steps(folder)) < seen + 70:
                time.sleep(0.1)
            with open(folder + "/pid2") as file:
                pid = int(file.read())
            start = time.time()
            os.kill(pid, signal.SIGKILL)
            while True:
                log = steps(folder)
                # The restarted gang begins again at its checkpoint: the number goes back.
                back = [i for i in range(seen, len(log)) if i > 0 and log[i][1] <= log[i - 1][1]]
                if back:
                    break
                time.sleep(0.02)
            seconds.append(log[back[-1]][0] - start)
            lost.append(log[back[-1] - 1][1] - log[back[-1]][1] + 1)
            print(f"kill {kill + 1}: {seconds[-1]:.2f} s, {lost[-1]} steps back", flush=True)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
    print(f"\ntorch {torch.__version__}, torchrun: median {statistics.median(seconds):.2f} s, "
          f"steps lost {statistics.median(lost):.0f}")


if __name__ == "__main__":
    main()
