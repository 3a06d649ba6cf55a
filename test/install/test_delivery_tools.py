"""The health checks for Argo CD and Flux in ``docs/installing.md`` judge every state of every kind."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import cel
import pytest

from aimctl.api.kinds import KINDS
from support.documents import load_all_yaml, load_yaml
from support.download_environments import environment

TEXT = (Path(__file__).parents[2] / "docs" / "installing.md").read_text(encoding="utf-8")
BLOCKS = [
    document
    for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    for document in load_all_yaml(block)
]
LUA = ("lua-newest", ("lupa",))
PROGRAM = """
import json, sys
from lupa import LuaRuntime
given = json.load(sys.stdin)
runtime = LuaRuntime(register_eval=False)
function = runtime.eval("function(obj)\\n" + given["code"] + "\\nend")
print(json.dumps([dict(function(runtime.table_from(one, recursive=True))) for one in given["objects"]]))
"""
HEALTH = {
    "Ready": "Healthy",
    "Running": "Healthy",
    "Available": "Healthy",
    "Failed": "Degraded",
    "Degraded": "Degraded",
    "NotAvailable": "Suspended",
    "Pending": "Progressing",
    "Progressing": "Progressing",
    "Starting": "Progressing",
}


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in BLOCKS if one.get("kind") == kind]


def states(kind: Any) -> list[str]:
    """The values of ``status.status`` that the CRD allows; none for runtime configs."""
    schema = kind.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return [value for value in schema["properties"].get("status", {}).get("enum", ()) if value]


def an_object(kind: str, state: str, *, observed: int = 2) -> dict[str, Any]:
    conditions = [
        {"type": "Progressing", "status": "False", "message": "other"},
        {"type": "Ready", "status": "True", "message": f"it is {state}"},
    ]
    status = {"status": state, "observedGeneration": observed, "conditions": conditions}
    return {"kind": kind, "metadata": {"generation": 2}, "status": status}


def argo_health(objects: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The results of the Lua code."""
    (config,) = of_kind("ConfigMap")
    code = load_yaml(config["data"]["resource.customizations"])["aim.silogen.ai/*"]["health.lua"]
    command = [environment(*LUA) / "python", "-c", PROGRAM]
    given = json.dumps({"code": code, "objects": objects})
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, str]] = json.loads(done.stdout)
    return results


def test_argo_cd_knows_the_health_of_every_state() -> None:
    cases = [(kind.name, state) for kind in KINDS for state in states(kind)]
    assert {state for _, state in cases} == HEALTH.keys()
    results = argo_health([an_object(kind, state) for kind, state in cases])
    expected = [{"status": HEALTH[state], "message": f"it is {state}"} for _, state in cases]
    assert results == expected


def test_argo_cd_waits_for_the_status_of_the_current_generation() -> None:
    new = {"kind": "AIMService", "metadata": {"generation": 1}}
    outdated = an_object("AIMService", "Running", observed=1)
    config = {"kind": "AIMRuntimeConfig", "metadata": {"generation": 1}}
    health = [one["status"] for one in argo_health([new, outdated, config])]
    assert health == ["Progressing", "Progressing", "Healthy"]


@pytest.mark.parametrize("kind", ["AIMServiceTemplate", "AIMService"])
def test_flux_waits_reports_success_or_reports_failure(kind: str) -> None:
    (models,) = of_kind("Kustomization")[-1:]
    (checks,) = [one for one in models["spec"]["healthCheckExprs"] if one["kind"] == kind]
    (declared,) = [one for one in KINDS if one.name == kind]
    judged = {}
    for state in states(declared):
        values = {"status": {"status": state}}
        current, failed = (cel.evaluate(checks[name], values) for name in ("current", "failed"))
        assert not (current and failed), state
        judged[state] = "current" if current else "failed" if failed else "in progress"
    meaning = {
        "Healthy": "current",
        "Suspended": "current",
        "Degraded": "failed",
        "Progressing": "in progress",
    }
    assert judged == {state: meaning[HEALTH[state]] for state in judged}
    assert len(judged) >= 5
