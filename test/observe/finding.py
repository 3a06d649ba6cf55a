"""The commands of the runbook, run as they are printed, and what they have to show.

Contract: :func:`find_cause` runs every ``sh`` block of the part "Find the cause" of an alert's section in bash, with the
functions ``logs`` and ``debug`` of the runbook for managers that are no pods, and returns the output. ``NAME`` and the
other words in capitals are replaced by those of the disturbed object.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from support.kubectl import kubectl_binary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.managers import ManagerProcess

__all__ = ["CAUSES", "Cause", "find_cause"]

_TEXT = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
_SECONDS = 60


class Cause(NamedTuple):
    """Words that name the cause in the output of the commands, and the name of the disturbed object."""

    words: Sequence[str]
    name: str = "x"


CAUSES = {
    "AimNoLeader": Cause(["No manager leads"]),
    "AimEventLoopBlocked": Cause(["disturbing.py", "in blocks"]),
    "AimStuckReconcile": Cause(["hangs-0", "add_faults"]),
    "AimReconcileErrors": Cause(["policy.example", "rejects-"]),
    "AimHotLoop": Cause(["team/loops-0", "data.written"], "loops-0"),
    "AimBacklogGrows": Cause(["models"]),
    "AimQueueAge": Cause(["models", "team/bulk-"]),
    "AimCacheStale": Cause(["aimclusterruntimeconfigs.aim.silogen.ai"]),
    "AimApiErrors": Cause(["unable to handle the request"]),
    "AimCertificateExpires": Cause([]),
    "AimDiscoveryStarved": Cause(["endless-0"]),
    "AimDiscoveryFails": Cause(["crashing-0", "RuntimeError: no profile directory"], "crashing-0"),
    "AimRegistryUnreachable": Cause(["registry-silent-0.example"]),
    "AimImageReadsFail": Cause(["absent-0", "registry.example"]),
    "AimHubUnreachable": Cause(["away-0", "Temporary failure in name resolution"], "away-0"),
    "AimServicesUnhealthy": Cause(["the model server crashes"], "chat"),
    "AimTemplatesUnhealthy": Cause(["no profile directory"], "crashing-0"),
    "AimCachesUnhealthy": Cause(["SourceUnavailable"], "away-0"),
    "AimServicesWait": Cause(["ModelNotFound", "nowhere"], "early"),
    "AimObjectsWait": Cause(["StorageClassNotFound", "nowhere"]),
}
"""By alert. A certificate is found in the objects of what renews it, which the embedded cluster does not have."""

_FUNCTIONS = """\
logs() {{ cat {logs}; }}
debug() {{ curl -sk -H "Authorization: Bearer {token}" "https://127.0.0.1:{port}/debug/$1"; }}
aimctl() {{ {python} -m aimctl.cli "$@"; }}
"""


async def find_cause(
    alert: str, managers: Sequence[ManagerProcess], leader: ManagerProcess | None, kubeconfig: Path
) -> str:
    """The output of the commands for an alert.

    Args:
        alert: its name.
        managers: whose logs are read.
        leader: whose debug pages are read; None takes the first manager.
        kubeconfig: for kubectl and aimctl.
    """
    (section,) = re.findall(rf"^## {alert}\n(.*?)(?=^## )", _TEXT, re.DOTALL | re.MULTILINE)
    search = section.split("**Find the cause.**")[1].split("**Remedy.**")[0]
    script = _FUNCTIONS.format(
        logs=" ".join(str(manager.log_file) for manager in managers),
        port=(leader or managers[0]).metrics_port,
        token=managers[0].token,
        python=sys.executable,
    ) + "".join(re.findall(r"^```sh\n(.*?)^```", search, re.DOTALL | re.MULTILINE))
    for word, value in (("NAMESPACE", "team"), ("KIND", "configmap"), ("NAME", CAUSES[alert].name)):
        script = re.sub(rf"\b{word}\b", value, script)
    path = f"{Path(kubectl_binary()).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path, "COLUMNS": "200"}

    def run() -> str:
        done = subprocess.run(
            ["bash", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return done.stdout + done.stderr

    return await asyncio.to_thread(run)
