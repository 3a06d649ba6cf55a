"""Standard output and standard error that cannot be written: a full device, or a reader that has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import Done, aimctl, clean_environment
from support.proofs import variants
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
def kubeconfig(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stdout")
    with ServedCluster(folder, controllers=False) as served:
        yield served.kubeconfig()


@pytest.fixture(scope="module")
def shell(kubeconfig):
    """Runs a line of shell; ``aimctl`` in it is an interpreter that reaches the cluster."""
    env = clean_environment(KUBECONFIG=str(kubeconfig))

    def run(line, **more):
        line = line.replace("aimctl", f"{sys.executable} -m aimctl.cli", 1)
        done = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, env=env | more, timeout=60, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def full(kubeconfig, shell):
    """Runs ``aimctl`` with a full device as one of its streams, with or without buffers."""
    redirected = {"stdout": ">", "stderr": "2>"}

    def run(words, stream, *, unbuffered):
        if unbuffered:  # only a new interpreter reads the variable
            return shell(f"aimctl {words} {redirected[stream]} {FULL}", PYTHONUNBUFFERED="1")
        return aimctl(*words.split(), env={"KUBECONFIG": str(kubeconfig)}, to={stream: FULL})

    return run


@needs_full
@pytest.mark.parametrize(
    ("case", "unbuffered"),
    [
        *((case, False) for case in ("json", "manifests")),
        *((case, True) for case in ("json", "help")),
        *variants([(case, False) for case in COMMANDS if case not in ("json", "manifests")], quick=0),
        *variants([(case, True) for case in ("manifests", "the version")], quick=0),
    ],
)
def test_a_full_device_is_reported_in_one_line(full, case, unbuffered):
    """A print fails immediately, or when the buffer is flushed."""
    done = full(COMMANDS[case], "stdout", unbuffered=unbuffered)
    assert done.complaint.startswith("cannot write to standard output: No space left on device; ")
    assert done.code == 1


@pytest.mark.parametrize("format_", variants(["json", "table", "yaml"]))
def test_a_watch_ends_with_its_reader(shell, format_):
    """The namespace changes all the time, so the next document is written after the reader has ended."""
    done = shell(f"aimctl status -w -o {format_} | true")
    assert done.err == ""


@pytest.mark.proof
def test_the_exit_code_is_correct_without_standard_output(shell):
    done = shell("aimctl status -A >&-")
    assert (done.code, done.err) == (0, "")
    assert shell("aimctl status nope -A >&-").code == 4


CLOSED = {"standard error": "2>&-", "all streams": "<&- >&- 2>&-"}
ENDS = {"status nope -A": 4, "status --bogus": 2, "status --kubeconfig /nonexistent": 1, "rediscover nope": 4}


@pytest.mark.parametrize("call", variants(list(ENDS)))
@pytest.mark.parametrize("case", variants(list(CLOSED)))
def test_the_exit_code_is_correct_if_standard_error_is_closed(shell, case, call):
    assert shell(f"aimctl {call} {CLOSED[case]}") == (ENDS[call], "", "")


@pytest.mark.proof
@needs_full
@pytest.mark.parametrize("call", variants(list(ENDS)))
@pytest.mark.parametrize("unbuffered", [False, True])
def test_the_exit_code_is_correct_if_standard_error_is_full(full, call, unbuffered):
    assert full(call, "stderr", unbuffered=unbuffered) == (ENDS[call], "", "")


CALL = "rediscover nope never -o json"


@pytest.mark.proof
def test_a_document_stays_valid_if_standard_error_is_closed(shell):
    done = shell(f"aimctl {CALL} 2>&-")
    assert done.code == 4
    assert len(json.loads(done.out)["failed"]) == 2


@needs_full
def test_a_document_stays_valid_if_standard_error_is_full(full):
    done = full(CALL, "stderr", unbuffered=False)
    assert done.code == 4
    assert len(json.loads(done.out)["failed"]) == 2
