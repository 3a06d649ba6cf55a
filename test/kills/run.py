"""``make test-kills RUNS=50``: the operator on a real API server, with SIGKILL and connections that are cut.

Each run has a seed; ``--first 17 --runs 1`` repeats that of seed 17. A table of the runs is printed, and for each failed
run what was wrong and what was done. The exit status is 0 if no run failed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

from kills.relay import Relay
from kills.scenario import Report, run_seed
from support.clusters import RunningCluster
from support.documents import load_yaml
from support.kubernetes_binaries import BinariesNotFoundError

__all__ = ["main"]


def main() -> int:
    """Make the runs; returns the exit status."""
    parser = argparse.ArgumentParser(description="managers that are killed, on a real API server")
    parser.add_argument("--runs", type=int, default=50, help="how many seeds, from --first")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="folder for the logs of the managers")
    options = parser.parse_args()
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="aimctl-kills-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        try:
            cluster = stack.enter_context(RunningCluster("real", folder))
        except BinariesNotFoundError as error:
            print(f"test-kills: {error}", file=sys.stderr)
            return 1
        config = load_yaml(cluster.manager_kubeconfig.read_text())
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        relay = stack.enter_context(Relay(str(server.hostname), int(server.port or 443)))
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
        kubeconfig = folder / "relayed.kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(yaml.safe_dump(config))
        reports = []
        for seed in range(options.first, options.first + options.runs):
            reports.append(run_seed(cluster, relay, kubeconfig, folder, seed=seed))
            print(reports[-1].line(), flush=True)
            for text in (*reports[-1].problems, *reports[-1].actions) if reports[-1].problems else ():
                print(f"    {text}", flush=True)
    return _summary(reports, time.monotonic() - begun, relay.cuts)


def _summary(reports: list[Report], seconds: float, cuts: int) -> int:
    failed = [report.seed for report in reports if report.problems]
    kills = sum(report.faults["kill"] for report in reports)
    print(
        f"{len(reports)} runs in {seconds:.0f} s with {kills} kills and {cuts} connections cut; longest time to settle"
        f" {max((report.settled_seconds for report in reports), default=0):.1f} s;"
        f" at most {max((report.most_unfinished for report in reports), default=0)} unfinished discovery Jobs;"
        f" failed: {failed or 'none'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
