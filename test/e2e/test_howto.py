"""The quick start and the how-to guides work exactly as they are printed, on ``aimctl dev``.

``AIMCTL_RECORD_PAGES=1`` writes the real output of each command whose printed output differs into the page.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.commands import clean_environment
from support.tutorial import Command, File, Shell, recorded, steps_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
QUICK_START = DOCS / "quickstart.md"
GUIDES = sorted((DOCS / "howto").glob("*.md"))
RECORD = "AIMCTL_RECORD_PAGES" in os.environ
NOT_READY = ("aimctl status", "aimctl explain")
REJECTED = "# is rejected"


def environment_in(folder, **more):
    """What the commands of a page see: a folder with the environment of this repository, and a home of its own."""
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "home").mkdir()
    found = clean_environment(HOME=str(folder / "home"), COLUMNS="100", **more)
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
    return found


def expected_statuses(text):
    """Exit statuses of a command: 3 reports that something is not Ready; what the page calls rejected fails."""
    if text.endswith(REJECTED):
        return {"1"}
    return {"0", "3"} if text.startswith(NOT_READY) else {"0"}


def play(path, folder, shells):
    """Run the steps of a page; endless commands are those of the shell ``cluster``."""
    page = path.read_text(encoding="utf-8")
    outputs, wrong = [], []
    for step in steps_of(page):
        if isinstance(step, File):
            (folder / step.name).write_text(step.text, encoding="utf-8")
            continue
        endless = step.text.startswith("aimctl dev")
        fits, output, status = shells[step.shell].run(step, endless=endless)
        outputs.append(step.output if fits else output)
        shown = "\n".join([f"$ {step.text}", *output, f"(exit status {status}, printed: {step.output})"])
        if status not in ({"running"} if endless else expected_statuses(step.text)):
            pytest.fail(shown)
        if not fits:
            wrong.append(shown)
    if RECORD:
        path.write_text(recorded(page, outputs), encoding="utf-8")
    assert wrong == [], "\n\n".join(wrong)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The path of the kubeconfig of a cluster that serves all guides."""
    folder = tmp_path_factory.mktemp("cluster")
    shell = Shell(folder, environment_in(folder))
    start = Command(
        "cluster",
        "aimctl dev --kubeconfig-out dev.kubeconfig",
        ("...", "Ctrl-C stops it. Its data is in memory and is lost then."),
    )
    fits, output, _ = shell.run(start, endless=True)
    assert fits, "\n".join(output)
    yield folder / "dev.kubeconfig"
    shell.interrupt()


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_works_as_it_is_printed(path, cluster, tmp_path):
    shells = {"work": Shell(tmp_path, environment_in(tmp_path, KUBECONFIG=str(cluster)))}
    try:
        play(path, tmp_path, shells)
    finally:
        shells["work"].interrupt()


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_the_quick_start_works_as_it_is_printed(tmp_path):
    environment = environment_in(tmp_path)
    shells = {name: Shell(tmp_path, environment) for name in ("cluster", "work")}
    try:
        play(QUICK_START, tmp_path, shells)
    finally:
        for shell in shells.values():
            shell.interrupt()


@pytest.mark.parametrize("path", [QUICK_START, *GUIDES], ids=lambda path: path.stem)
def test_every_block_of_a_guide_is_a_step(path):
    page = path.read_text(encoding="utf-8")
    assert page.count("```console") == page.count("<!-- terminal: ")
    assert page.count("```yaml") == page.count("<!-- file: ")


def test_there_is_a_guide_for_each_task():
    tasks = ["cache", "choose", "debug", "defaults", "model", "override", "service", "template"]
    assert [path.stem for path in GUIDES] == tasks
