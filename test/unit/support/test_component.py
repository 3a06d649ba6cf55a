"""A test's server process ends with the test, however that ends, and says why it did not come up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.component import Component, ComponentError
from support.waiting import eventually

TESTS = Path(__file__).parents[2]
START_AND_LINGER = """
import pathlib, sys, time
from support.component import Component
component = Component("sleeper", pathlib.Path(sys.argv[1]) / "log")
component.start(["sleep", "60"])
print(component.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie has ended; that nobody has asked about it yet is not its fault


async def never() -> bool:
    return False


async def at_once() -> bool:
    return True


@pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel ties processes to their starter on Linux only"
)
def test_it_dies_with_a_killed_starter(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", START_AND_LINGER, tmp_path],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert is_alive(pid)
        starter.send_signal(signal.SIGKILL)

    eventually(lambda: not is_alive(pid), 10, "end of the component")


async def test_it_can_be_killed_and_started_again(tmp_path: Path) -> None:
    component = Component("sleeper", tmp_path / "log")
    await component.kill()
    component.start(["sleep", "60"])
    first = component.pid
    await component.wait_until("start", at_once, within=10)
    with pytest.raises(ComponentError, match="runs already"):
        component.start(["sleep", "60"])

    await component.kill()
    assert not component.running
    component.start(["sleep", "60"])

    assert component.pid != first
    await component.kill()


async def test_terminating_it_returns_the_exit_code(tmp_path: Path) -> None:
    component = Component("sleeper", tmp_path / "log")
    with pytest.raises(ComponentError, match="not started"):
        await component.terminate()
    component.start(["sleep", "60"])
    await component.wait_until("start", at_once, within=10)
    assert await component.terminate() == -signal.SIGTERM
    assert not component.running


async def test_an_early_end_shows_the_last_lines_of_the_log(tmp_path: Path) -> None:
    component = Component("failing", tmp_path / "failing.log")
    component.start(["sh", "-c", "seq 100; echo no port for me >&2; exit 3"])

    with pytest.raises(ComponentError) as caught:
        await component.wait_until("readiness", never, within=10)

    first, heading, *lines = str(caught.value).splitlines()
    assert first == "failing ended (3) before readiness"
    assert heading == "--- end of failing.log ---"
    assert lines[-2:] == ["100", "no port for me"]
    assert len(lines) == 20


async def test_waiting_has_an_end(tmp_path: Path) -> None:
    component = Component("deaf", tmp_path / "log")
    component.start(["sleep", "60"])

    with pytest.raises(ComponentError, match=r"deaf: no answer within 0\.1 s"):
        await component.wait_until("answer", never, within=0.1)

    await component.kill()
