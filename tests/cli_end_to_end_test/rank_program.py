"""A program that speaks the rank protocol and trains nothing: its state is the number of its step.

Arguments: the number of steps and the seconds each takes. The ranks of a gang keep in step by files
in a folder: a rank begins step n + 1 when every member of its incarnation has written down step n.
"""

import os
import pathlib
import signal
import socket
import sys
import threading
import time

STEPS, SECONDS = int(sys.argv[1]), float(sys.argv[2])
FOLDER = pathlib.Path(os.environ["LONGRUN_RUN_DIR"]) / "steps"
MEMBER = os.environ["LONGRUN_MEMBER"]


def escaped(text):
    return text.replace("%", "%25").replace(" ", "%20").replace("\n", "%0A")


class Agent:
    """The socket; on a broken connection it tries again for as long as the process lives."""

    def __init__(self):
        self.membership = {}
        self.stop = False
        self.lock = threading.Lock()
        self.socket = None
        self.step = 0
        self.connect()
        threading.Thread(target=self.listen, daemon=True).start()

    def connect(self):
        while True:
            try:
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(os.environ["LONGRUN_SOCKET"])
                sock.sendall(f"hello v=1 member={MEMBER} pid={os.getpid()} "
                             f"endpoint=127.0.0.1:1 step={self.step}\n".encode())
                self.socket = sock
                return
            except OSError:
                time.sleep(0.05)

    def send(self, line):
        with self.lock:
            try:
                self.socket.sendall((line + "\n").encode())
            except OSError:
                pass

    def listen(self):
        while True:
            for line in self.socket.makefile():
                verb, *pairs = line.split()
                fields = dict(pair.split("=", 1) for pair in pairs)
                if verb == "ping":
                    self.send(f"pong n={fields['n']} phase=compute step={self.step}")
                elif verb == "stop":
                    self.stop = True
                elif verb == "membership":
                    if int(fields["incarnation"]) > int(self.membership.get("incarnation", -1)):
                        self.membership = fields
            self.connect()


def written(member):
    try:
        return int((FOLDER / member).read_text() or 0)
    except (OSError, ValueError):
        return 0


def write(step):
    temporary = FOLDER / f".{MEMBER}"
    temporary.write_text(str(step))
    temporary.rename(FOLDER / MEMBER)


def main():
    FOLDER.mkdir(exist_ok=True)
    checkpoint = FOLDER / "checkpoint"
    agent = Agent()
    signal.signal(signal.SIGTERM, lambda *_: setattr(agent, "stop", True))
    joined = -1
    print("hello from member", MEMBER, flush=True)
    while not agent.stop:
        here = agent.membership
        if not here or int(here["rank"]) < 0:
            time.sleep(0.005)
            continue
        members = here["members"].split(",")
        if int(here["incarnation"]) != joined:
            # The highest step that a living member has applied, or the checkpoint's.
            step = max([written(m) for m in members] +
                       [int(checkpoint.read_text()) if checkpoint.exists() else 0])
            agent.step = step
            write(step)
            joined = int(here["incarnation"])
            agent.send(f"joined incarnation={joined} step={step} source=peer seconds=0.001")
            agent.send(f"metric name=total_steps value={STEPS} step={step}")
        if any(written(m) < agent.step for m in members):
            time.sleep(0.002)
            continue
        if agent.step >= STEPS:
            break
        time.sleep(SECONDS)
        if agent.membership is not here:
            continue
        agent.step += 1
        write(agent.step)
        agent.send(f"commit incarnation={joined} step={agent.step} "
                   f"loss={10 / (1 + agent.step):.6f} tokens=100 seconds={SECONDS}")
    if agent.stop:
        if joined < 0:
            return  # a spare has nothing to keep
        # Ranks may stop a step apart: any of their steps will do here.
        temporary = FOLDER / f".checkpoint.{MEMBER}"
        temporary.write_text(str(agent.step))
        temporary.rename(checkpoint)
    elif int(agent.membership["rank"]) == 0:
        agent.send("metric name=validation_loss value=1.25 step=%d" % agent.step)
        agent.send("say text=" + escaped(f"model saved to {FOLDER.parent}/model"))
    time.sleep(0.1)


main()
