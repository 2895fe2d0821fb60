"""Stands for `longrun-worker train --config FILE`: speaks the rank protocol, reads the same file,
and instead of training reports the loss that a known law, with a little noise, gives its run.

The law: L = 1.5 + 40 · C^−0.15, C = 6·N·D. A run that is stopped or killed goes on where it was.
"""

import os
import pathlib
import random
import re
import signal
import socket
import sys
import threading
import time

FOLDER = pathlib.Path(os.environ["LONGRUN_RUN_DIR"])
STEP_SECONDS = 0.004


def number(text, name):
    return int(re.search(rf"\b{name}: (\d+)", text).group(1))


def loss_of(text):
    layers, d, vocab = (number(text, name) for name in ("layers", "d_model", "vocab_size"))
    params = layers * (12 * d * d + 13 * d) + 2 * d + vocab * d
    tokens = number(text, "steps") * number(text, "batch") * number(text, "context")
    noise = random.Random(text).gauss(0, 0.002)
    return (1.5 + 40 * (6 * params * tokens) ** -0.15) * (1 + noise)


def save(name, text):
    temporary = FOLDER / f".{name}"
    temporary.write_text(text)
    temporary.rename(FOLDER / name)


class Agent:

    def __init__(self, step):
        self.step = step
        self.stop = False
        self.membership = threading.Event()
        self.incarnation = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.environ["LONGRUN_SOCKET"])
        self.send(f"hello v=1 member={os.environ['LONGRUN_MEMBER']} pid={os.getpid()} "
                  f"endpoint=127.0.0.1:1 step={step}")
        threading.Thread(target=self.listen, daemon=True).start()

    def send(self, line):
        self.socket.sendall((line + "\n").encode())

    def listen(self):
        for line in self.socket.makefile():
            verb, *pairs = line.split()
            fields = dict(pair.split("=", 1) for pair in pairs)
            if verb == "ping":
                self.send(f"pong n={fields['n']} phase=compute step={self.step}")
            elif verb == "stop":
                self.stop = True
            elif verb == "membership":
                self.incarnation = int(fields["incarnation"])
                self.membership.set()
        self.stop = True


def main():
    text = pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
    (FOLDER / "data").mkdir(exist_ok=True)
    for name in ("tokenizer.json", "train.tokens", "validation.tokens"):
        (FOLDER / "data" / name).write_text(name)
    with (FOLDER / "starts").open("a") as starts:
        starts.write("started\n")
    at = FOLDER / "step"
    agent = Agent(int(at.read_text()) if at.exists() else 0)
    signal.signal(signal.SIGTERM, lambda *_: setattr(agent, "stop", True))
    agent.membership.wait()
    steps, tokens = number(text, "steps"), number(text, "batch") * number(text, "context")
    agent.send(f"joined incarnation={agent.incarnation} step={agent.step} source=checkpoint "
               "seconds=0")
    agent.send(f"metric name=total_steps value={steps} step={agent.step}")
    while agent.step < steps and not agent.stop:
        time.sleep(STEP_SECONDS)
        agent.step += 1
        agent.send(f"commit incarnation={agent.incarnation} step={agent.step} loss=5 "
                   f"tokens={tokens} seconds={STEP_SECONDS}")
        save("step", str(agent.step))
    if agent.step == steps:
        agent.send(f"metric name=validation_loss value={loss_of(text):.9f} step={steps}")
        agent.send(f"done step={steps}")
    time.sleep(0.1)


main()
