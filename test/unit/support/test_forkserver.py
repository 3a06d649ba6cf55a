"""Commands that the server of ``support.forkserver`` starts are processes like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from support.commands import RunningCommand, aimctl, clean_environment
from support.forkserver import spawn
from support.proofs import variants


@pytest.mark.parametrize(
    "arguments",
    variants(
        [["status", "--bogus"], ["--version"], [], ["manifests", "crd"], ["status", "--kubeconfig", "/none"]],
        quick=2,
    ),
)
def test_a_command_has_the_output_and_exit_code_of_one_in_its_own_interpreter(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "aimctl.cli", *arguments],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert aimctl(*arguments) == (done.returncode, done.stdout, done.stderr)


def test_a_command_has_the_environment_it_is_given():
    done = aimctl("status", env={"KUBECONFIG": "/none/of/this/test"})
    assert done.code == 1
    assert "/none/of/this/test" in done.err
    assert aimctl("status").err != done.err


def test_a_command_that_a_signal_ends_has_its_number_as_return_code(tmp_path):
    flags = ("dev", "--no-manager", "--kubeconfig-out", tmp_path / "kubeconfig")
    with RunningCommand(*flags) as command:
        command.wait_for("Ctrl-C stops it")
        with pytest.raises(AssertionError, match="still running"):
            command.wait(0.01)
        assert command.stop(signal.SIGKILL) == -signal.SIGKILL


def test_it_is_running_until_it_is_killed(tmp_path):
    with open(os.devnull, "r+b") as null:  # noqa: PTH123
        number = null.fileno()
        flags = ["dev", "--no-manager", "--kubeconfig-out", str(tmp_path / "kubeconfig")]
        process = spawn(flags, stdin=number, stdout=number, stderr=number)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    process.kill()
    assert process.poll() == -signal.SIGKILL
