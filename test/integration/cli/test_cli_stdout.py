"""Standard output and standard error that cannot be written: a full device, or a reader that has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import Done, clean_environment
from support.served import ServedCluster

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(
    not FULL.exists(), reason=f"no {FULL} here: Linux and FreeBSD have it, macOS has not"
)
COMMANDS = {
    "a table": "status -A",
    "json": "status -A -o json",
    "yaml": "status -A -o yaml",
    "json, again and again": "status -A -w -o json",
    "a table, again and again": "status -A -w",
    "manifests": "manifests",
    "the version": "--version",
    "help": "--help",
    "help that was not asked for": "",
    "help of a command": "status --help",
    "completion": "completion bash",
    "the embedded cluster": "dev",
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a line of shell; ``aimctl`` in it reaches a cluster."""
    folder = tmp_path_factory.mktemp("stdout")
    with ServedCluster(folder, controllers=False) as served:
        env = clean_environment(KUBECONFIG=str(served.kubeconfig()))

        def run(line, **more):
            line = line.replace("aimctl", f"{sys.executable} -m aimctl.cli", 1)
            done = subprocess.run(
                ["sh", "-c", line],
                capture_output=True,
                text=True,
                env=env | more,
                timeout=60,
                check=False,
            )
            return Done(done.returncode, done.stdout, done.stderr)

        yield run


@needs_full
@pytest.mark.parametrize(
    ("case", "unbuffered"),
    [
        *((case, "") for case in COMMANDS),
        *((case, "1") for case in ("json", "manifests", "the version", "help")),
    ],
)
def test_a_full_device_is_reported_in_one_line(shell, case, unbuffered):
    """A print fails immediately, or when the buffer is flushed."""
    done = shell(f"aimctl {COMMANDS[case]} > {FULL}", PYTHONUNBUFFERED=unbuffered)
    assert done.complaint.startswith("cannot write to standard output: No space left on device; ")
    assert done.code == 1


@pytest.mark.parametrize("format_", ["table", "json", "yaml"])
def test_a_watch_ends_with_its_reader(shell, format_):
    """The namespace changes all the time, so the next document is written after the reader has ended."""
    done = shell(f"aimctl status -w -o {format_} | true")
    assert done.err == ""


def test_the_exit_code_is_correct_without_standard_output(shell):
    done = shell("aimctl status -A >&-")
    assert (done.code, done.err) == (0, "")
    assert shell("aimctl status nope -A >&-").code == 4


NOWHERE = {"closed": "2>&-", "full": f"2> {FULL}", "closed with all others": "<&- >&- 2>&-"}
ENDS = {"status nope -A": 4, "status --bogus": 2, "status --kubeconfig /nonexistent": 1, "rediscover nope": 4}


@needs_full
@pytest.mark.parametrize(
    ("case", "call", "unbuffered"),
    [*((case, call, "") for case in NOWHERE for call in ENDS), *(("full", call, "1") for call in ENDS)],
)
def test_the_exit_code_is_correct_without_standard_error(shell, case, call, unbuffered):
    done = shell(f"aimctl {call} {NOWHERE[case]}", PYTHONUNBUFFERED=unbuffered)
    assert done == (ENDS[call], "", "")


@needs_full
@pytest.mark.parametrize("case", ["closed", "full"])
def test_a_document_stays_valid_without_standard_error(shell, case):
    done = shell(f"aimctl rediscover nope never -o json {NOWHERE[case]}")
    assert done.code == 4
    assert len(json.loads(done.out)["failed"]) == 2
