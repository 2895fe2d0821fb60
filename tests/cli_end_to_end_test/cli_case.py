"""What tests of the `longrun` binary have in common: a state folder, and nothing left running."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["LONGRUN_BIN"]) / "longrun"
HERE = pathlib.Path(__file__).parent
PROGRAM = [sys.executable, str(HERE / "rank_program.py")]
PATIENCE = 60


def manifest(name="job", command=("sh", "-c", "exit 0"), **spec):
    return json.dumps({"apiVersion": "longrun.dev/v1", "kind": "Run", "metadata": {"name": name},
                       "spec": {"command": list(command), **spec}})


class Cli(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="longrun-cli-", dir="/tmp"))
        self.state = self.folder / "s"
        self.env = {**os.environ, "LONGRUN_STATE": str(self.state)}
        self.children = []

    def tearDown(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()
        self.longrun("down")
        self.assertEqual(self.left_running(), [], "processes were left running")
        shutil.rmtree(self.folder, ignore_errors=True)

    def left_running(self):
        """Processes that name this test's folder in their command or environment."""
        deadline = time.monotonic() + 5
        while True:
            found = []
            for entry in pathlib.Path("/proc").iterdir():
                if not entry.name.isdigit() or int(entry.name) == os.getpid():
                    continue
                try:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    words = command + (entry / "environ").read_bytes()
                    state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                except OSError:
                    continue
                if str(self.folder).encode() in words and state != "Z":
                    found.append(command)
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def write(self, text, name="job.yaml"):
        path = self.folder / name
        path.write_text(text)
        return path

    def longrun(self, *words, **more):
        return subprocess.run([BIN, *map(str, words)], env=self.env, capture_output=True, text=True,
                              timeout=PATIENCE, **more)

    def start(self, *words):
        child = subprocess.Popen([BIN, *map(str, words)], env=self.env, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.children.append(child)
        return child

    def status(self, run="job"):
        answer = self.longrun("status", run, "--json")
        return json.loads(answer.stdout)["runs"][0] if answer.returncode == 0 else {}

    def wait_for(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        self.fail(f"waited in vain for {what}")

    def wait_for_step(self, step, run="job"):
        return self.wait_for(f"step {step}",
                             lambda: self.status(run).get("step", 0) >= step)

    def controller_pid(self):
        answer = self.longrun("status", "--json")
        controller = json.loads(answer.stdout)["controller"] if answer.returncode == 0 else None
        return controller["pid"] if controller else 0
