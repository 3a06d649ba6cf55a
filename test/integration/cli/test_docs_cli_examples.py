"""The examples in ``docs/cli.md`` are what the commands print about the samples on ``aimctl dev``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.commands import RunningCommand, aimctl
from support.kubectl import Kubectl
from support.waiting import eventually

ROOT = Path(__file__).parents[3]
WIDTH = {"COLUMNS": "100"}


def examples():
    """Commands with their output, without those whose output depends on time."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    found = {}
    for block in re.findall(r"^```text\n\$ (.*?)^```", text, re.DOTALL | re.MULTILINE):
        command, _, output = block.partition("\n")
        if "..." not in output:
            found[command] = output
    return found


EXAMPLES = examples()


def without_times(text: str) -> str:
    """The text with every age as AGE. Ages change the widths of columns, so only the gaps are compared."""
    aged = re.sub(r" +\d+[smhd](\d+s)?$", "  AGE", text, flags=re.MULTILINE)
    return re.sub(r"(?<=\S) {2,}", "  ", aged)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    path = folder / "kubeconfig"
    with RunningCommand("dev", "--kubeconfig-out", path) as command:
        command.wait_for("Ctrl-C stops it")
        kubectl = Kubectl(path, folder / "kubectl-cache")
        kubectl("apply", "--server-side", "-f", str(ROOT / "config" / "samples"), timeout=120)
        ready = ("status", "-n", "ml-serving", "--kubeconfig", path)
        eventually(lambda: aimctl(*ready).code == 0, 90, "the samples' services run")
        yield path


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_example_is_what_is_printed(kubeconfig, command):
    program, *words = command.split()
    assert program == "aimctl"
    expected = without_times(EXAMPLES[command])

    def printed() -> str:
        return without_times(aimctl(*words, env={**WIDTH, "KUBECONFIG": str(kubeconfig)}).out)

    # discovery in other namespaces may still run
    eventually(lambda: printed() == expected, 60, f"it prints\n{expected}", otherwise=printed)
