"""``-w``: what it prints again, what happens when the server is lost, and how it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

from support.commands import RunningCommand, clean_environment
from support.served import ServedCluster

TEAM = "team"
WELL = [f"well-{number}" for number in range(30)]
ROWS, COLUMNS = 24, 80


class Terminal:
    """A command on a terminal of 24 rows and 80 columns. Leaving it kills the process by its id."""

    def __init__(self, *args):
        self._screen, inner = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aimctl.cli", *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=inner,
            stderr=inner,
            env=clean_environment(TERM="xterm", COLUMNS=str(COLUMNS), LINES=str(ROWS), NO_COLOR="1"),
        )
        os.close(inner)
        self._raw = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        os.close(self._screen)

    @property
    def frames(self):
        """The texts that were drawn, one for each refresh."""
        text = self._raw.decode(errors="replace").replace("\r", "")
        return [
            re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part) for part in re.split(r"(?:\x1b\[1A\x1b\[2K)+", text)
        ]

    def _read(self, seconds):
        if not select.select([self._screen], [], [], seconds)[0]:
            return False
        try:
            more = os.read(self._screen, 65536)
        except OSError:  # the terminal no longer has a writer
            return False
        self._raw += more
        return bool(more)

    def wait_for(self, words, seconds=30):
        """The frame with these words."""
        end = time.monotonic() + seconds
        while words not in self.frames[-1]:
            assert time.monotonic() < end, f"not within {seconds:g} s: {words!r} in\n{self.frames[-1]}"
            self._read(0.2)
        return self.frames[-1]

    def interrupt(self):
        """Send Ctrl-C and return the exit code and the last text on the terminal."""
        self._process.send_signal(signal.SIGINT)
        while self._read(10):
            pass
        return self._process.wait(10), self.frames[-1]


def document(name, model):
    return {
        "apiVersion": "aim.silogen.ai/v1alpha1",
        "kind": "AIMServiceTemplate",
        "metadata": {"name": name, "namespace": TEAM},
        "spec": {"modelName": model},
    }


def state(word, reason, message=""):
    good = "True" if word == "Ready" else "False"
    detail = {"reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"status": word, "conditions": [{"type": "Ready", "status": good, **detail}]}


def cluster(folder):
    """A cluster for thirty templates that are Ready, and one, last in the list, that is not."""
    return ServedCluster(folder, controllers=False, namespaces=("kaiwo-system", TEAM))


def fill(served):
    from aimctl.api.kinds import TEMPLATES

    served.apply([document(name, "llama") for name in (*WELL, "zz-lost")])

    async def statuses(client):
        for name in WELL:
            await client.patch(
                TEMPLATES, name, {"status": state("Ready", "ProfilesDiscovered")}, TEAM, subresource="status"
            )
        lost = {"status": state("Pending", "ModelNotFound", "there is no model of this name")}
        await client.patch(TEMPLATES, "zz-lost", lost, TEAM, subresource="status")

    served.ask(statuses)


def test_ctrl_c_ends_it_without_a_server(tmp_path):
    with ExitStack() as stack:
        with ServedCluster(tmp_path, controllers=False) as served:
            command = stack.enter_context(RunningCommand("status", "-w", "--kubeconfig", served.kubeconfig()))
            command.wait_for("No services")
        command.wait_for("cannot reach the API server")
        code = command.stop(signal.SIGINT)
    assert "Traceback" not in command.text
    assert code == 130


def test_a_live_view_shows_what_is_not_ready_and_leaves_the_whole_page(tmp_path):
    with ExitStack() as stack:
        with cluster(tmp_path) as served:
            fill(served)
            path = served.kubeconfig()
            terminal = stack.enter_context(Terminal("status", "-A", "-w", "--kubeconfig", path))
            first = terminal.wait_for("Why: ").splitlines()
            assert len(first) <= ROWS
            assert any("zz-lost" in line and "ModelNotFound" in line for line in first[:3]), first
            assert any(line.startswith("... ") and "more lines" in line for line in first)
        lost = terminal.wait_for("cannot reach the API server")
        assert "and that it is running" in " ".join(lost.split()), "the hint is not cut"
        assert all(len(line) <= COLUMNS for line in lost.splitlines())
        code, left = terminal.interrupt()
    assert code == 130
    assert "Traceback" not in left
    assert [left.count(f"template {name} ") for name in (*WELL, "zz-lost")] == [1] * (len(WELL) + 1)
    assert "more lines" not in left
    assert "aimctl: as of " in left


def test_a_command_that_a_live_view_cuts_is_marked_and_complete_at_the_end(tmp_path):
    with cluster(tmp_path) as served:
        fill(served)
        path = served.kubeconfig("a-kubeconfig-" + "x" * 60)
        with Terminal("explain", "aimst", "zz-lost", "-n", TEAM, "-w", "--kubeconfig", path) as terminal:
            live = terminal.wait_for("$ kubectl describe")
            assert [line for line in live.splitlines() if line.endswith("…")]
            code, left = terminal.interrupt()
    assert code == 130
    assert f"$ kubectl describe aimst zz-lost -n {TEAM} --kubeconfig {path}\n" in left
    assert "…" not in left
