"""Exec plugins as real processes, and the headers of a kubeconfig over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from aimctl.kubetypes.builtin import PODS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import Client, ConfigurationError, HttpTransport, load_connection
from support.scripted import ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

    from aimctl.runtime.kube import ConnectionInfo

V1 = "client.authentication.k8s.io/v1"


def plugin(folder: Path, script: str) -> dict[str, Any]:
    """The exec section for a shell script."""
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"apiVersion": V1, "interactiveMode": "Never", "command": str(path)}


async def connection(folder: Path, server: str, user: dict[str, Any]) -> ConnectionInfo:
    config = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(json.dumps(config))
    return await load_connection(str(path), environ={}, clock=LoopClock())


async def test_impersonation_reaches_the_server_with_every_request(tmp_path: Path) -> None:
    received: list[list[tuple[str, str]]] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        prefixes = ("authorization", "impersonate-")
        received.append(
            sorted((k.lower(), v) for k, v in request.headers.items() if k.lower().startswith(prefixes))
        )
        return web.json_response(
            {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}}
        )

    done = json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": {"token": "t"}})
    user = {
        "exec": plugin(tmp_path, f"echo '{done}'"),
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["dev", "ops"],
        "as-user-extra": {"Scope/X y": ["v", "w"]},
    }
    async with ScriptedServer() as server:
        server.on("GET", "/api/v1/pods", remember)
        info = await connection(tmp_path, server.url, user)
        async with HttpTransport(info, clock=LoopClock()) as wire:
            client = Client(wire, clock=LoopClock())
            await client.list(PODS)
            async with client.watch(PODS, resource_version="1", timeout_seconds=5, idle_seconds=5):
                pass
    expected = [
        ("authorization", "Bearer t"),
        ("impersonate-extra-scope%2fx%20y", "v"),
        ("impersonate-extra-scope%2fx%20y", "w"),
        ("impersonate-group", "dev"),
        ("impersonate-group", "ops"),
        ("impersonate-uid", "7"),
        ("impersonate-user", "jane"),
    ]
    assert received == [expected, expected]


async def until_gone(pid: int) -> None:
    """Wait until a process has ended; it is a grandchild, so nothing reports its end."""
    async with asyncio.timeout(10):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            if _is_zombie(pid):
                return
            await asyncio.sleep(0.01)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - a file of the kernel
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_cancelling_the_caller_kills_the_plugin_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    script = f'sleep 1000 &\necho "$$ $!" > {pids}\nwait'
    user = {"exec": plugin(tmp_path, script)}
    task = asyncio.create_task(connection(tmp_path, "http://127.0.0.1:1", user))
    started = await asyncio.to_thread(pids.read_text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in map(int, started.split()):
        await until_gone(pid)


async def test_the_error_of_a_failing_plugin_does_not_show_its_output(tmp_path: Path) -> None:
    script = "echo h1dd3n; exit 4"
    with pytest.raises(ConfigurationError, match="exit code 4") as caught:
        await connection(tmp_path, "http://127.0.0.1:1", {"exec": plugin(tmp_path, script)})
    assert "h1dd3n" not in str(caught.value)
