"""Failed renewals of plugin credentials: waiting requests share the failure, and valid credentials are kept."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aimctl.runtime.kube import ConfigurationError, ConnectionInfo, from_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

EXEC_API = "client.authentication.k8s.io/v1"
START = datetime(2026, 1, 1, tzinfo=UTC)


class HandClock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Plugin:
    """An exec plugin that returns ``token-<run>``, or fails while the file ``broken`` exists."""

    def __init__(self, folder: Path, *, lives: float | None) -> None:
        self.runs_file = folder / "runs"
        self.broken = folder / "broken"
        self.config = folder / "config"
        status: dict[str, Any] = {}
        if lives is not None:
            status["expirationTimestamp"] = (START + timedelta(seconds=lives)).strftime("%Y-%m-%dT%H:%M:%SZ")
        script = folder / "plugin.py"
        script.write_text(
            "import json, pathlib, sys, time\n"
            f"runs, broken = pathlib.Path({str(self.runs_file)!r}), pathlib.Path({str(self.broken)!r})\n"
            "with runs.open('a') as file: file.write('x')\n"
            "time.sleep(0.2)\n"
            "if broken.exists(): sys.exit('no network')\n"
            f"status = json.loads({json.dumps(status)!r}) | {{'token': f'token-{{len(runs.read_text())}}'}}\n"
            f"print(json.dumps({{'apiVersion': {EXEC_API!r}, 'kind': 'ExecCredential', 'status': status}}))\n"
        )
        command = {"command": sys.executable, "args": [str(script)], "interactiveMode": "Never"}
        user = {"exec": {"apiVersion": EXEC_API, **command}}
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "main",
            "contexts": [{"name": "main", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://host:6443/"}}],
            "users": [{"name": "u", "user": user}],
        }
        self.config.write_text(yaml.safe_dump(body))

    @property
    def runs(self) -> int:
        return len(self.runs_file.read_text())


async def authorization(info: ConnectionInfo) -> str:
    return (await info.credentials.headers())["Authorization"]


async def test_requests_that_waited_for_a_renewal_share_its_failure(tmp_path: Path) -> None:
    """A plugin that hangs delays all waiting requests by one minute in total."""
    plugin, clock = Plugin(tmp_path, lives=None), HandClock()
    info = await from_kubeconfig(str(plugin.config), clock=clock)
    plugin.broken.touch()
    info.credentials.invalidate()
    clock.seconds += 1
    answers = await asyncio.gather(*(authorization(info) for _ in range(8)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConfigurationError] * 8
    assert all("failed with exit code 1" in str(answer) for answer in answers)
    assert plugin.runs == 2
    clock.seconds += 1
    with pytest.raises(ConfigurationError):
        await authorization(info)
    assert plugin.runs == 3
    plugin.broken.unlink()
    clock.seconds += 1
    assert await authorization(info) == "Bearer token-4"


async def test_a_valid_token_is_kept_after_a_failed_renewal(tmp_path: Path) -> None:
    plugin, clock = Plugin(tmp_path, lives=3600), HandClock()
    info = await from_kubeconfig(str(plugin.config), clock=clock)
    plugin.broken.touch()
    clock.seconds = 3400  # within the five minutes before it expires
    assert await authorization(info) == "Bearer token-1"
    assert plugin.runs == 2
    clock.seconds += 30
    assert await authorization(info) == "Bearer token-1"
    assert plugin.runs == 2
    clock.seconds += 40
    assert await authorization(info) == "Bearer token-1"
    assert plugin.runs == 3
    clock.seconds = 3601
    with pytest.raises(ConfigurationError):
        await authorization(info)


async def test_a_rejected_token_is_not_used_after_a_failed_renewal(tmp_path: Path) -> None:
    plugin, clock = Plugin(tmp_path, lives=3600), HandClock()
    info = await from_kubeconfig(str(plugin.config), clock=clock)
    plugin.broken.touch()
    info.credentials.invalidate()
    with pytest.raises(ConfigurationError):
        await authorization(info)
