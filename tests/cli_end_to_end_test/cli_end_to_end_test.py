"""The `longrun` binary as its users meet it: real processes, real signals, a real terminal."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest

from cli_case import BIN, PATIENCE, PROGRAM, Cli, manifest


class Usage(Cli):

    def test_version_and_help(self):
        self.assertRegex(self.longrun("--version").stdout, r"^longrun \d+\.\d+")
        answer = self.longrun("--help")
        self.assertEqual(answer.returncode, 0)
        for word in ("run", "up", "down", "status", "logs", "cancel", "why", "fault", "completion",
                     "Exit codes"):
            self.assertIn(word, answer.stdout)
        for command in ("run", "up", "down", "status", "logs", "cancel", "why", "fault",
                        "completion"):
            answer = self.longrun(command, "--help")
            self.assertEqual(answer.returncode, 0, command)
            self.assertIn("Examples:", answer.stdout, command)

    def test_mistyped_words_are_answered_with_the_nearest(self):
        for words, hint in ((("statsu",), '"status"'), (("fualt",), '"fault"'),
                            (("run", "x.yaml", "--nodse", "3"), '"--nodes"'),
                            (("fault", "kill-rnak"), '"kill-rank"'),
                            (("completion", "bsh"), '"bash"')):
            answer = self.longrun(*words)
            self.assertEqual(answer.returncode, 2, words)
            self.assertIn("did you mean " + hint, answer.stderr)

    def test_wrong_values_are_refused(self):
        for words in ((), ("run",), ("run", "x", "--nodes", "0"), ("run", "x", "--nodes", "many"),
                      ("logs", "x", "--rank", "-1"), ("fault", "kill-rank"), ("fault", "kill-node"),
                      ("run", "x", "--drill", "kill-rank"),
                      ("run", "x", "--drill", "kill-rank@200%"), ("up", "--log-level", "loud")):
            answer = self.longrun(*words)
            self.assertEqual(answer.returncode, 2, words)
            self.assertNotEqual(answer.stderr, "", words)

    def test_without_a_controller(self):
        for words, code in ((("cancel", "x"), 69), (("fault", "kill-controller"), 69),
                            (("down",), 0), (("status",), 1), (("why", "x"), 1)):
            answer = self.longrun(*words)
            self.assertEqual(answer.returncode, code, (words, answer.stderr))

    def test_completion_scripts_parse(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.longrun("completion", shell).stdout
            self.assertIn("kill-rank", script)
            self.assertIn("status", script)
            if shutil.which(shell):
                parsed = subprocess.run([shell, "-n", self.write(script, shell)],
                                        capture_output=True, text=True)
                self.assertEqual((parsed.returncode, parsed.stderr), (0, ""), shell)

    def test_bash_completes(self):
        script = self.write(self.longrun("completion", "bash").stdout, "completion")
        (self.state / "runs" / "first-run").mkdir(parents=True)
        for words, expected in ((("sta",), "status"), (("why", ""), "first-run"),
                                (("run", "--dr"), "--drill"), (("fault", "hang"), "hang-rank")):
            line = " ".join(f"'{w}'" for w in ("longrun",) + words)
            command = (f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _longrun; "
                       "echo ${COMPREPLY[@]}")
            answer = subprocess.run(["bash", "-c", command], env=self.env, capture_output=True,
                                    text=True)
            self.assertIn(expected, answer.stdout.split(), (words, answer.stderr))


class BadInput(Cli):

    def refused(self, text):
        started = time.monotonic()
        answer = self.longrun("run", self.write(text))
        self.assertEqual(answer.returncode, 78, answer)
        self.assertLess(time.monotonic() - started, 30)
        self.assertFalse((self.state / "journal.db").exists(), "something was started")
        return answer.stderr

    def test_each_mistake_has_its_line_and_field(self):
        stderr = self.refused("apiVersion: longrun.dev/v1\nkind: Run\nmetadata: {name: job}\n"
                              "spec:\n  rnaks: 2\n  spares: -1\n  command: [sleep, 5]\n")
        self.assertRegex(stderr, r'job\.yaml:5: spec\.rnaks: unknown field; did you mean "ranks"\?')
        self.assertRegex(stderr, r"job\.yaml:6: spec\.spares: -1 is out of range")
        self.assertRegex(stderr, r"job\.yaml:7: spec\.command\[1\]: 5 reads as a number")

    def test_hostile_files(self):
        self.assertIn("stands here a second time", self.refused("kind: Run\nkind: Run\n"))
        self.assertIn("anchors", self.refused("a: &a [x]\nb: [*a, *a, *a]\n"))
        self.assertIn("1048576", self.refused("x" * 100_000_000))
        self.assertIn("binary file", self.refused("a\0b"))
        self.assertIn("holds nothing", self.refused(""))

    def test_missing_file_and_folder(self):
        for path in (self.folder / "none.yaml", self.folder):
            answer = self.longrun("run", path)
            self.assertEqual(answer.returncode, 78)
            self.assertIn(str(path), answer.stderr)

    def test_wrong_name(self):
        answer = self.longrun("run", self.write(manifest()), "--name", "../up")
        self.assertEqual(answer.returncode, 78)
        self.assertIn("is no name of a run", answer.stderr)

    def test_state_folder_too_long_for_a_socket(self):
        answer = self.longrun("run", self.write(manifest()), "--state", "/tmp/" + "x" * 200)
        self.assertEqual(answer.returncode, 2)
        self.assertIn("choose a shorter", answer.stderr)


class PlainCommands(Cli):

    def test_a_command_that_ends_well(self):
        path = self.write(manifest(command=["sh", "-c", "echo rank $RANK of $WORLD_SIZE"], ranks=2))
        answer = self.longrun("run", path, "--json")
        self.assertEqual(answer.returncode, 0, answer)
        last = json.loads(answer.stdout.splitlines()[-1])
        for key in ("run", "phase", "steps", "committed_steps_lost", "recoveries", "goodput",
                    "final_loss", "validation_loss", "model_dir", "wall_seconds"):
            self.assertIn(key, last)
        self.assertEqual((last["run"], last["phase"], last["recoveries"]), ("job", "succeeded", []))
        logs = self.longrun("logs", "job").stdout
        self.assertIn("rank 0 of 2", logs)
        self.assertIn("rank 1 of 2", logs)
        self.assertEqual(self.longrun("logs", "job", "--rank", "1").stdout, "rank 1 of 2\n")
        why = self.longrun("why", "job").stdout
        self.assertRegex(why, r"→ incarnation 1 by start")
        self.assertRegex(why, r"→ succeeded")

    def test_a_second_run_gets_a_name_of_its_own(self):
        path = self.write(manifest())
        self.assertEqual(self.longrun("run", path).returncode, 0)
        answer = self.longrun("run", path, "--json")
        self.assertEqual(json.loads(answer.stdout)["run"], "job-2")
        answer = self.longrun("run", path, "--fresh", "--json")
        self.assertEqual(json.loads(answer.stdout)["run"], "job")
        self.assertTrue((self.state / "runs" / "job.old").is_dir())

    def test_commands_that_cannot_work_fail_at_once(self):
        self.write("no program", "text")
        for command, reason in ((["sh", "-c", "echo wrong flag >&2; exit 78"], "wrong flag"),
                                (["./none"], "No such file"), (["./text"], "chmod +x"),
                                (["no-such-program-anywhere"], "no such command in the PATH")):
            answer = self.longrun("run", self.write(manifest(command=command)), "--fresh")
            self.assertEqual(answer.returncode, 1, answer)
            self.assertIn(reason, answer.stdout + answer.stderr)

    def test_a_command_that_fails_again_and_again(self):
        path = self.write(manifest(command=["sh", "-c", "exit 3"],
                                   recovery={"failuresWithoutProgress": 2}))
        answer = self.longrun("run", path, "--json")
        self.assertEqual(answer.returncode, 1)
        self.assertEqual(json.loads(answer.stdout)["phase"], "failed")


class Recovery(Cli):

    def job(self, steps=40, seconds=0.05, **more):
        return self.write(manifest(command=[*PROGRAM, str(steps), str(seconds)],
                                   **{"ranks": 2, "spares": 1, **more}))

    def finished(self, child):
        out, err = child.communicate(timeout=PATIENCE)
        self.assertEqual(child.returncode, 0, (out, err))
        return json.loads(out.splitlines()[-1]), err

    def test_a_drill_kills_a_rank_and_no_step_is_lost(self):
        child = self.start("run", self.job(), "--json", "--drill", "kill-rank@50%")
        last, err = self.finished(child)
        self.assertEqual(last["steps"], 40)
        self.assertEqual(last["committed_steps_lost"], 0)
        self.assertEqual(last["validation_loss"], 1.25)
        self.assertEqual(last["model_dir"], str(self.state / "runs/job/model"))
        self.assertEqual([r["rung"] for r in last["recoveries"]], ["swap-spare"])
        self.assertIn("killed by signal 9", last["recoveries"][0]["cause"])
        self.assertIn("drill at step", err)
        why = self.longrun("why", "job").stdout
        self.assertRegex(why, r"fault put in on purpose: kill-rank of rank 1")
        self.assertRegex(why, r"rank 1 \(member \d+ on node-\d\) was killed by signal 9")
        self.assertRegex(why, r"→ incarnation 2 by swap-spare")

    def test_the_controller_is_killed_and_nobody_notices(self):
        child = self.start("run", self.job(steps=60), "--json")
        self.wait_for_step(5)
        for _ in range(3):
            pid = self.controller_pid()
            os.kill(pid, signal.SIGKILL)
            self.wait_for("another controller",
                          lambda: self.controller_pid() not in (0, pid))
            step = self.status()["step"]
            self.wait_for_step(min(60, step + 5))
        last, err = self.finished(child)
        self.assertEqual((last["steps"], last["committed_steps_lost"]), (60, 0))
        self.assertEqual(last["recoveries"], [])
        self.assertIn("the controller was killed by signal 9 → started again", err)

    def test_faults_by_hand(self):
        child = self.start("run", self.job(steps=100), "--json")
        self.wait_for_step(3)
        self.assertEqual(self.longrun("fault", "kill-rank", "--rank", "0").returncode, 0)
        self.wait_for("the spare", lambda: [r for r in self.status().get("recoveries", [])
                                            if r["over"]])
        answer = self.longrun("fault", "kill-rank", "--rank", "7")
        self.assertEqual(answer.returncode, 78)
        self.assertIn("out of range", answer.stderr)
        answer = self.longrun("fault", "kill-node", "no-such")
        self.assertEqual(answer.returncode, 1, answer)
        pid = self.controller_pid()
        self.assertEqual(self.longrun("fault", "kill-controller").returncode, 0)
        self.wait_for("another controller", lambda: self.controller_pid() not in (0, pid))
        last, _ = self.finished(child)
        self.assertEqual((last["steps"], last["committed_steps_lost"]), (100, 0))

    def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(self):
        path = self.job(steps=60)
        child = self.start("run", path)
        self.wait_for_step(5)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertEqual(child.returncode, 130, (out, err))
        self.assertIn("the same command goes on", err)
        self.assertEqual(self.left_running(), [])
        stopped = self.status()
        self.assertEqual(stopped["phase"], "cancelled")
        checkpoint = int((self.state / "runs/job/steps/checkpoint").read_text())
        self.assertGreaterEqual(checkpoint, 5)
        answer = self.longrun("run", path)
        self.assertEqual(answer.returncode, 0, answer)
        self.assertIn("an earlier job was cancelled", answer.stdout)
        self.assertRegex(answer.stdout, r"from step \d+ on")

    def test_ctrl_c_twice_stops_at_once(self):
        deaf = "trap '' TERM INT; while :; do sleep 1; done"
        path = self.write(manifest(command=["sh", "-c", deaf],
                                   recovery={"grace": "1h"}))
        child = self.start("run", path)
        self.wait_for("the run", lambda: self.status().get("phase") == "running")
        child.send_signal(signal.SIGINT)
        self.wait_for("the cancellation", lambda: self.status().get("phase") == "stopping")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=PATIENCE)
        self.assertEqual(child.returncode, 130)
        self.assertEqual(self.left_running(), [])

    def test_killed_with_everything_it_goes_on_where_it_was(self):
        path = self.job(steps=60)
        child = self.start("run", path)
        self.wait_for_step(5)
        child.kill()
        child.communicate()
        self.assertEqual(self.left_running(), [])
        answer = self.longrun("run", path, "--json")
        self.assertEqual(answer.returncode, 0, answer)
        last = json.loads(answer.stdout)
        self.assertEqual((last["run"], last["steps"]), ("job", 60))
        self.assertIn("job is under way", answer.stderr)


class Terminal(Cli):

    def test_the_panel_is_drawn_in_place_and_fits(self):
        try:
            primary, secondary = pty.openpty()
        except OSError as error:  # a chroot without /dev/pts
            self.skipTest(f"this machine gives no terminals: {error}")
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        path = self.write(manifest(command=[*PROGRAM, "20", "0.05"], ranks=2, spares=1))
        child = subprocess.Popen([BIN, "run", str(path)], stdin=secondary, stdout=secondary,
                                 stderr=secondary, env={**self.env, "TERM": "xterm", "NO_COLOR": "1"})
        self.children.append(child)
        os.close(secondary)
        text = b""
        while True:
            try:
                more = os.read(primary, 65536)
            except OSError:
                break
            if not more:
                break
            text += more
        os.close(primary)
        self.assertEqual(child.wait(PATIENCE), 0)
        text = text.decode()
        self.assertIn("20/20 steps", text)
        self.assertIn("━", text)
        self.assertNotRegex(text, r"\x1b\[[0-9;]*m", "colours in spite of NO_COLOR")
        for frame in re.findall(r"[^\r\n]*\x1b\[K", text):
            plain = re.sub(r"\x1b\[[0-9]*[A-Za-z]", "", frame)
            self.assertLess(len(plain), 60, plain)


if __name__ == "__main__":
    unittest.main(verbosity=2)
