"""``-w``: what it prints again, what happens when the server is lost, and how it ends."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack

from support.commands import RunningCommand
from support.served import ServedCluster
from support.terminal import Terminal

TEAM = "team"
WELL = [f"well-{number}" for number in range(30)]
ROWS, COLUMNS = 24, 80


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


def test_a_live_view_fits_the_terminal_scrolls_and_leaves_the_whole_page(tmp_path):
    with ExitStack() as stack:
        with cluster(tmp_path) as served:
            fill(served)
            path = served.kubeconfig()
            terminal = stack.enter_context(Terminal("status", "-A", "-w", "--kubeconfig", path))
            first = terminal.wait_for("Why: ").splitlines()
            assert len(first) <= ROWS
            assert any("zz-lost" in line and "ModelNotFound" in line for line in first[:3]), first
            shown = re.search(r"^lines 1-(\d+) of (3\d); .*PgDn.* q quits$", "\n".join(first), re.MULTILINE)
            assert shown is not None, first
            room, rows = map(int, shown.groups())
            terminal.press("\x1b[6~")
            second = terminal.wait_for(f"lines {min(room - 1, rows - room) + 1}-").splitlines()
            assert len(second) <= ROWS
            assert not any("zz-lost" in line for line in second[:3])
            terminal.press("G")
            terminal.wait_for(f"template {WELL[-1]} ")
            terminal.press("g")
            terminal.wait_for("ModelNotFound")
            terminal.resize(12, 100)
            terminal.wait_for("lines 1-7 of 3")
            assert len(terminal.frame.splitlines()) <= 12
            terminal.resize(ROWS, COLUMNS)
        lost = terminal.wait_for("cannot reach the API server")
        assert "and that it is running" in " ".join(lost.split()), "the hint is not cut"
        assert all(len(line) <= COLUMNS for line in lost.splitlines())
        terminal.press("q")
        assert terminal.end() == 3
    assert "Traceback" not in terminal.text
    left = terminal.left
    assert [left.count(f"template {name} ") for name in (*WELL, "zz-lost")] == [1] * (len(WELL) + 1)
    assert "lines 1-" not in left
    assert "aimctl: as of " in left


def test_a_command_that_a_live_view_cuts_is_marked_and_complete_at_the_end(tmp_path):
    """Without a keyboard, it ends with Ctrl-C."""
    with cluster(tmp_path) as served:
        fill(served)
        path = served.kubeconfig("a-kubeconfig-" + "x" * 60)
        command = ("explain", "aimst", "zz-lost", "-n", TEAM, "-w", "--kubeconfig", path)
        with Terminal(*command, keys=False) as terminal:
            live = terminal.wait_for("$ kubectl describe")
            assert [line for line in live.splitlines() if line.endswith("…")]
            assert terminal.interrupt() == 130
    assert f"$ kubectl describe aimst zz-lost -n {TEAM} --kubeconfig {path}\n" in terminal.left
    assert "…" not in terminal.left
