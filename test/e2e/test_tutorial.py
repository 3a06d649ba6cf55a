"""``docs/tutorial.md`` works exactly as it is printed, in an empty folder with an environment of its own."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from support.commands import clean_environment
from support.tutorial import Command, File, Shell, matches, steps_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
STEPS = list(steps_of(PAGE))


def offline(environment, binaries):
    """What lets ``pip install`` of the page succeed without a package index: it finds everything installed already."""
    return {
        **environment,
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:{binaries}:{environment['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def share_packages(folder):
    """Let the environment that the page creates see the packages of this one."""
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "installed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_the_tutorial_works_as_it_is_printed(tmp_path):
    (tmp_path / "aimctl").symlink_to(ROOT)
    folder = tmp_path / "backups"
    environment = offline(clean_environment(), Path(sys.executable).parent)
    shells = {step.shell: Shell(tmp_path, environment) for step in STEPS if isinstance(step, Command)}
    last = {step.shell: step for step in STEPS if isinstance(step, Command)}
    try:
        for step in STEPS:
            if isinstance(step, File):
                (folder / step.name).write_text(step.text, encoding="utf-8")
                continue
            endless = step is last[step.shell] and step.shell != "work"
            fits, output, status = shells[step.shell].run(step, endless=endless)
            assert fits, "\n".join([f"$ {step.text}", *output, f"(printed: {step.output})"])
            assert status == ("running" if endless else "0"), "\n".join([f"$ {step.text}", *output])
            if "-m venv venv" in step.text:
                share_packages(folder)
    finally:
        ends = {name: shell.interrupt() for name, shell in shells.items()}
    assert not any("Traceback" in line for lines in ends.values() for line in lines)


def test_the_tutorial_has_files_commands_and_several_terminals():
    assert [step.name for step in STEPS if isinstance(step, File)] == [
        "kinds.py",
        "decisions.py",
        "backups.py",
        "test_backups.py",
        "nightly.yaml",
    ]
    assert {step.shell for step in STEPS if isinstance(step, Command)} == {"work", "cluster", "operator"}
    assert PAGE.count("```console") == PAGE.count("<!-- terminal: ")
    assert PAGE.count("```python") + PAGE.count("```yaml") == PAGE.count("<!-- file: ")


@pytest.mark.parametrize(
    ("printed", "actual", "fits"),
    [
        (["2 passed in 0.86s"], ["2 passed in 31.2s"], True),
        (["2 passed in 0.86s"], ["1 passed in 0.86s"], False),
        (["a  3s"], ["a        12m"], False),
        (["first", "...", "last"], ["first", "x", "y", "last"], True),
        (["first", "...", "last"], ["first", "x", "y"], False),
        (["..."], [], True),
        ([], ["unexpected"], False),
        (["at http://127.0.0.1:1"], ["at http://127.0.0.1:33037", ""], True),
    ],
    ids=str,
)
def test_output_is_compared_except_for_what_varies(printed, actual, fits):
    assert matches(printed, actual) is fits
