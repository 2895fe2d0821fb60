"""Who serves whom: controllers that start, end, die and take over, and the runs that they leave."""

import json
import os
import shutil
import signal
import time
import unittest

from cli_case import PATIENCE, PROGRAM, Cli, manifest


class Controllers(Cli):

    def test_up_status_cancel_down(self):
        answer = self.longrun("up", "--detach", "--nodes", "2", "--accelerators-per-node", "3")
        self.assertEqual(answer.returncode, 0, answer)
        self.wait_for("nodes", lambda: [n["free"] for n in json.loads(
            self.longrun("status", "--json").stdout)["nodes"]] == [3, 3])
        path = self.write(manifest(command=["sleep", "1000"], ranks=2))
        self.assertEqual(self.longrun("run", path, "--detach").returncode, 0)
        self.wait_for("the run", lambda: self.status().get("phase") == "running")
        other = self.write(manifest(command=["sleep", "1001"], ranks=2), "other.yaml")
        answer = self.longrun("run", other)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("under way with another manifest", answer.stderr)
        self.assertIn('did you mean "job"', self.longrun("cancel", "jbo").stderr)
        self.assertEqual(self.longrun("cancel", "job").returncode, 0)
        self.wait_for("the end", lambda: self.status().get("phase") == "cancelled")
        self.assertEqual(self.longrun("down").returncode, 0)
        self.assertEqual(self.left_running(), [])
        self.assertEqual(self.status()["phase"], "cancelled")

    def test_a_locked_state_folder_names_its_holder(self):
        self.assertEqual(self.longrun("up", "--detach").returncode, 0)
        pid = self.controller_pid()
        for words in (("up",), ("up", "--detach")):
            answer = self.longrun(*words)
            self.assertEqual(answer.returncode, 75, answer)
            self.assertIn(str(pid), answer.stderr)

    def test_a_run_under_way_outlives_the_watcher_and_its_controller(self):
        self.assertEqual(self.longrun("up", "--detach").returncode, 0)
        path = self.write(manifest(command=[*PROGRAM, "100", "0.05"], ranks=2))
        child = self.start("run", path)
        self.wait_for_step(3)
        child.kill()
        step = self.status()["step"]
        self.wait_for_step(step + 3)
        self.assertEqual(self.longrun("down").returncode, 0)
        self.assertEqual(self.left_running(), [])
        self.assertEqual(self.longrun("up", "--detach").returncode, 0)
        self.wait_for("the end", lambda: self.status().get("phase") == "succeeded")

    def test_runs_that_end_between_two_controllers_are_heard_to_the_end(self):
        self.assertEqual(self.longrun("up", "--detach", "--nodes", "1").returncode, 0)
        for i in range(8):
            name = f"short{i}"
            path = self.write(manifest(name, [*PROGRAM, "20", "0.01"]))
            self.assertEqual(self.longrun("run", path, "--detach").returncode, 0)
            # From before its process is there until after its last step.
            time.sleep(0.07 * i)
            os.kill(self.controller_pid(), signal.SIGKILL)
            time.sleep(0.8 if i % 2 else 0)
            self.assertEqual(self.longrun("up", "--detach", "--nodes", "1").returncode, 0)
            view = self.wait_for(f"{name}'s end", lambda run=name: (
                self.status(run) if self.status(run).get("phase") == "succeeded" else None))
            self.assertEqual((view["step"], view["tokens"]), (20, 2000), view)
            self.assertEqual(view["metrics"]["validation_loss"], 1.25, view)

    def test_a_run_goes_on_when_the_run_that_brought_the_controller_ends(self):
        first = self.start("run", self.write(manifest(
            "first", [*PROGRAM, "40", "0.05"])), "--nodes", "2", "--json")
        self.wait_for_step(3, "first")
        second = self.start("run", self.write(manifest(
            "second", [*PROGRAM, "100", "0.05"]), "second.yaml"), "--json")
        self.wait_for_step(3, "second")
        refused = self.longrun("run", self.write(manifest("third"), "third.yaml"), "--detach")
        self.assertEqual(refused.returncode, 69, refused)
        out, err = first.communicate(timeout=PATIENCE)
        self.assertEqual(first.returncode, 0, (out, err))
        out, err = second.communicate(timeout=PATIENCE)
        self.assertEqual(second.returncode, 0, (out, err))
        self.assertIn("one of our own goes on", err)
        last = json.loads(out.splitlines()[-1])
        self.assertEqual((last["steps"], last["phase"]), (100, "succeeded"))
        self.assertEqual(len(json.loads(self.longrun("status", "--json").stdout)["runs"]), 2)

    def test_runs_started_at_once_share_one_controller(self):
        children = [self.start("run", self.write(manifest(name, ["sh", "-c", "sleep 1"]),
                                                 name + ".yaml")) for name in ("a", "b", "c")]
        for child in children:
            out, err = child.communicate(timeout=PATIENCE)
            self.assertEqual(child.returncode, 0, (out, err))

    def test_a_state_folder_deleted_under_a_run_ends_it_with_a_word(self):
        child = self.start("run", self.write(manifest(command=[*PROGRAM, "400", "0.05"])))
        self.wait_for_step(3)
        shutil.rmtree(self.state, ignore_errors=True)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertEqual(child.returncode, 70, (out, err))
        self.assertIn("deleted or replaced while it was in use", err)
        self.assertEqual(self.left_running(), [])

    def test_what_cannot_fit_into_the_fleet_is_refused(self):
        answer = self.longrun("run", self.write(manifest(ranks=10000)), "--nodes", "2")
        self.assertEqual(answer.returncode, 78, answer)
        self.assertIn("needs room for 10,000 ranks of 1 accelerator", answer.stderr)
        self.assertIn("--nodes", answer.stderr)
        self.assertFalse(self.state.exists())

    def test_logs_follow_until_the_end(self):
        self.assertEqual(self.longrun("up", "--detach").returncode, 0)
        path = self.write(manifest(
            command=["sh", "-c", "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.2; done"]))
        self.assertEqual(self.longrun("run", path, "--detach").returncode, 0)
        answer = self.longrun("logs", "job", "-f")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertEqual([line.split(" | ")[1] for line in answer.stdout.splitlines()],
                         [f"line {i}" for i in range(1, 7)])

    def test_why_and_status_read_a_live_controllers_journal(self):
        self.assertEqual(self.longrun("up", "--detach").returncode, 0)
        path = self.write(manifest(command=["sleep", "1000"]))
        self.assertEqual(self.longrun("run", path, "--detach").returncode, 0)
        self.wait_for("the run", lambda: self.status().get("phase") == "running")
        story = json.loads(self.longrun("why", "job", "--json").stdout)["story"]
        kinds = [entry["decision"]["kind"] for entry in story if entry["decision"]]
        self.assertIn("IncarnationDecided", kinds)
        answer = self.longrun("why", "jbo")
        self.assertEqual(answer.returncode, 1)
        self.assertIn('did you mean "job"', answer.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
