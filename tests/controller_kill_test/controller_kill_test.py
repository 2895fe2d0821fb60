"""kill -9 of `longrun up` while runs are submitted, cancelled and under way: what it acknowledged
it still knows, and every run comes to its end.

LONGRUN_TEST_ROUNDS (6) is how often it is killed. What was acknowledged is written down here, by
those who heard it.
"""

import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "cli_end_to_end_test"))
import cli_end_to_end_test as end_to_end  # noqa: E402: found by the line above

ROUNDS = int(os.environ.get("LONGRUN_TEST_ROUNDS", "6"))
SUBMITTERS = 2
FLEET = ("--nodes", "2", "--accelerators-per-node", "4")
# Runs that end at once, that last across a kill or two, that fail, and that step.
FAILS = ("sh", "-c", "exit 3")
COMMANDS = (("true",), ("true",), ("sleep", "0.3"), FAILS,
            (*end_to_end.PROGRAM, "5", "0.02"))


class ControllerKills(end_to_end.Cli):

    def setUp(self):
        super().setUp()
        self.acknowledged, self.cancelled = {}, set()
        self.over = threading.Event()

    def up(self):
        self.wait_for("the lock of the one that was killed", lambda: self.longrun(
            "up", "--detach", *FLEET).returncode == 0)

    def submit(self, submitter):
        """Runs under names of its own, each once, until it is told that it is over."""
        random_ = random.Random(submitter)
        number = 0
        while not self.over.is_set():
            name = f"s{submitter}-{number}"
            number += 1
            command = random_.choice(COMMANDS)
            tries = 1 if command == FAILS else 5  # a busy machine may lose a node
            path = self.write(end_to_end.manifest(name, command, recovery={
                "failuresWithoutProgress": tries}), f"{name}.yaml")
            if self.longrun("run", path, "--detach").returncode != 0:
                continue
            self.acknowledged[name] = command
            if random_.random() < 0.2 and self.longrun("cancel", name).returncode == 0:
                self.cancelled.add(name)
            time.sleep(random_.random() * 0.1)

    def phases(self):
        return {run["run"]: run["phase"]
                for run in json.loads(self.longrun("status", "--json").stdout)["runs"]}

    def test_every_acknowledged_run_is_known_and_ends(self):
        random_ = random.Random(20261121)
        self.up()
        submitters = [threading.Thread(target=self.submit, args=(i,)) for i in range(SUBMITTERS)]
        for thread in submitters:
            thread.start()
        try:
            for _ in range(ROUNDS):
                time.sleep(random_.random() * 0.7)
                known = set(self.acknowledged)
                os.kill(self.controller_pid(), signal.SIGKILL)
                if random_.random() < 0.3:
                    time.sleep(0.5)
                self.up()
                self.assertEqual(known - set(self.phases()), set(), "runs were forgotten")
        finally:
            self.over.set()
            for thread in submitters:
                thread.join()
        acknowledged = set(self.acknowledged)
        self.assertEqual(acknowledged - set(self.phases()), set(), "runs were forgotten")
        ends = {"succeeded", "failed", "cancelled"}
        self.wait_for("every run's end", lambda: set(self.phases().values()) <= ends)
        wrong = {}
        for name, phase in self.phases().items():
            if name not in acknowledged:
                continue
            right = "failed" if self.acknowledged[name] == FAILS else "succeeded"
            if phase != right and not (phase == "cancelled" and name in self.cancelled):
                wrong[name] = (self.acknowledged[name], phase)
        self.assertEqual(wrong, {})
        print(f"{ROUNDS} kills, {len(acknowledged)} runs, {len(self.cancelled)} cancelled")


if __name__ == "__main__":
    unittest.main(verbosity=2)
