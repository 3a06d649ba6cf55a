"""Tours of third-party clients: what a client saw in a series of steps, compared with what it saw on a real server.

Contract:
    * The expected steps of a tour are in ``test/clients/recorded/<tour>.json``. They were recorded on a real API server.
      ``AIMCTL_RECORD_TOURS=1`` records them again: then the real server is the only one that may be used.
    * A step is a name and an outcome of JSON. It contains nothing that differs between two runs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.clusters import RunningCluster

__all__ = ["PROGRAMS", "Step", "check_tour", "run_program", "stable"]

_CLIENTS = Path(__file__).parent.parent / "clients"
_RECORDED = _CLIENTS / "recorded"
PROGRAMS = _CLIENTS / "programs"
_PROGRAM_SECONDS = 120
_CHANGING = (
    # client-go logs this if a program ends its own watch while an event is being read, which depends on the moment.
    (re.compile(r'^[IWE]\d{4} .*\] "Warning: watch ended with error".*\n?', re.MULTILINE), ""),
    (re.compile(r"/\S*pytest-of-\S*|/tmp/\S+"), "FOLDER"),
    # The whole object or patch, as structures of Go and cut off.
    (
        re.compile(r'patch: Invalid value: ".*": (?=strict|cannot)', re.DOTALL),
        "patch: Invalid value: OBJECT: ",
    ),
    # The difference of the two objects, as structures of Go.
    (re.compile(r"\n@@ .*", re.DOTALL), ""),
    (re.compile(r"\btour-[0-9-]+[0-9]\b"), "NAMESPACE"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)?(ms|s|m)(\d+s)?( ago)?(?=\s|$|\))"), "AGE"),
    (re.compile(r"\b(10|127|172|192)(\.\d+){3}\b"), "ADDRESS"),
    (re.compile(r"[ \t]+"), " "),
)

Step = list[Any]
"""A name and an outcome."""


def stable(text: str) -> str:
    """The text without what differs between two runs: uids, times, addresses, and the widths of columns."""
    for pattern, replacement in _CHANGING:
        text = pattern.sub(replacement, text)
    return text.strip()


def run_program(python: Path, name: str, cluster: RunningCluster, namespace: str) -> list[Step]:
    """Run a program of test/clients/programs. Returns the steps that it printed."""
    done = subprocess.run(
        [python, PROGRAMS / name, cluster.kubeconfig, namespace],
        capture_output=True,
        text=True,
        timeout=_PROGRAM_SECONDS,
        check=False,
        env={
            **{key: value for key, value in os.environ.items() if key != "KUBECONFIG"},
            "PYTHONWARNINGS": "",
        },
    )
    assert done.returncode == 0, f"{name}: after {done.stdout[-500:]!r}: {done.stderr[-3000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_tour(
    name: str, cluster: RunningCluster, steps: list[Step], differences: Mapping[str, str] | None = None
) -> None:
    """Compare the steps with the recorded ones, or record them.

    Args:
        name: of the tour.
        cluster: where it ran.
        steps: what the client saw.
        differences: the steps in which the embedded server is known to differ, with the reason. Each has to differ.
    """
    known = (differences or {}) if cluster.kind == "embedded" else {}
    file = _RECORDED / f"{name}.json"
    if os.environ.get("AIMCTL_RECORD_TOURS"):
        assert cluster.kind != "embedded", (
            "the expected steps are those of a real server: select it with -k real"
        )
        lines = ",\n".join(json.dumps(step, sort_keys=True, ensure_ascii=False) for step in steps)
        file.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    expected = json.loads(file.read_text(encoding="utf-8"))
    found = json.loads(json.dumps(steps))
    assert {each[0] for each in expected} >= known.keys(), "a difference in a step that does not exist"
    unexpected = [
        f"{theirs[0]}\n  expected {theirs[1]!r}\n  found    {ours[1]!r}"
        for theirs, ours in zip(expected, found, strict=False)
        if (theirs == ours) == (theirs[0] in known)
    ]
    assert not unexpected, "\n".join(unexpected)
    assert [step[0] for step in found] == [step[0] for step in expected]
