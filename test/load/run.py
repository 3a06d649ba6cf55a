"""Measure what a flood of the protected metrics port costs the reconciles and the Lease.

    make test-load                      LOAD_ARGS=--help for options

Three processes: an API server with templates that change at a constant rate, a manager that reconciles them, and the clients
of its metrics port. Windows with and without the clients alternate, so that changes of the machine's speed affect both. The
run ends when the clients have scraped often enough. It fails if the median latency of reconciles with clients is more than
the budget above that without, or if the manager lost its Lease.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from children import Child, child

HERE = Path(__file__).parent
TEMPLATES = 500
BUDGET = 0.10
START_SECONDS, SETTLE_SECONDS = 3.0, 3.0
MOST_PAIRS = 30
_ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/load"


async def token_of(session: aiohttp.ClientSession, server: str) -> str:
    """A token of a new account; the embedded server allows every account to read the metrics."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "prometheus"}}
    async with session.post(server + _ACCOUNTS, json=account) as answer:
        answer.raise_for_status()
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    async with session.post(f"{server}{_ACCOUNTS}/prometheus/token", json=request) as answer:
        answer.raise_for_status()
        return str((await answer.json())["status"]["token"])


async def lease_of(session: aiohttp.ClientSession, server: str) -> tuple[str, int]:
    """The holder, and how often it changed."""
    async with session.get(server + _LEASE) as answer:
        spec = (await answer.json())["spec"]
    return spec["holderIdentity"], spec.get("leaseTransitions", 0)


async def window(driver: Child, manager: Child, seconds: float, rate: float) -> dict[str, Any]:
    """Let the templates change for some seconds; return what the manager measured."""
    await manager.say("window")
    await manager.hear("changes")
    await driver.say(f"pace {int(seconds * rate)} {rate}")
    await driver.hear("paced")
    await asyncio.sleep(0.5)
    await manager.say("window")
    return await manager.hear("changes")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All windows; returns the figures of the run."""
    quiet: list[dict[str, Any]] = []
    loaded: list[dict[str, Any]] = []
    clients_said: list[dict[str, Any]] = []
    async with child("driver", "driver.py") as driver, aiohttp.ClientSession() as session:
        await driver.say(f"load {TEMPLATES}")
        made = await driver.hear("loaded")
        token = await token_of(session, made["server"])
        flags = ["--write"] if options.write else []
        manager_script, clients_script = str(HERE / "load_manager.py"), str(HERE / "load_clients.py")
        server = ("--server", made["tls_server"], "--ca", made["ca"])
        async with child("manager", manager_script, *server, *flags) as manager:
            port = (await manager.hear("port"))["port"]
            before = await lease_of(session, made["server"])
            async with child("clients", clients_script, str(port), token) as clients:
                await window(driver, manager, options.seconds, options.rate)  # to warm up
                scrapes = pairs = 0
                while scrapes < options.scrapes and pairs < MOST_PAIRS:
                    pairs += 1
                    quiet.append(await window(driver, manager, options.seconds, options.rate))
                    await clients.say("begin")
                    await asyncio.sleep(START_SECONDS)
                    loaded.append(await window(driver, manager, options.seconds, options.rate))
                    await clients.say("end")
                    clients_said.append(await clients.hear("scrapes"))
                    scrapes += clients_said[-1]["scrapes"]
                    print(line(pairs, quiet[-1], loaded[-1], clients_said[-1]), flush=True)
                    await asyncio.sleep(SETTLE_SECONDS)
                after = await lease_of(session, made["server"])
    return {"quiet": quiet, "loaded": loaded, "clients": clients_said, "lease": [before, after]}


def line(number: int, quiet: dict[str, Any], loaded: dict[str, Any], said: dict[str, Any]) -> str:
    """One pair of windows."""
    return (
        f"pair {number:2}: p50 {quiet['p50_ms']:.2f} -> {loaded['p50_ms']:.2f} ms,"
        f" p99 {quiet['p99_ms']:.2f} -> {loaded['p99_ms']:.2f} ms,"
        f" CPU {quiet['cpu_seconds']:.2f} -> {loaded['cpu_seconds']:.2f} s, {said['scrapes']} scrapes"
    )


def table(figures: dict[str, Any], options: argparse.Namespace) -> tuple[str, list[str]]:
    """The report, and what is wrong."""

    def median(which: str, key: str) -> float:
        return statistics.median(one[key] for one in figures[which])

    rows = [
        ("latency of a reconcile, median (ms)", "p50_ms"),
        ("latency of a reconcile, 99th percentile (ms)", "p99_ms"),
        ("CPU of the manager in a window (s)", "cpu_seconds"),
        ("longest stall of the event loop (ms)", "stall_ms"),
        ("oldest renewal of the Lease (s)", "renewed_seconds_ago"),
    ]
    out = [
        f"{'medians of ' + str(len(figures['quiet'])) + ' windows':46} {'without':>9} {'with':>9} {'change':>8}"
    ]
    for title, key in rows:
        without, with_ = median("quiet", key), median("loaded", key)
        change = f"{(with_ / without - 1) * 100:+7.1f}%" if without else ""
        out.append(f"{title:46} {without:9.2f} {with_:9.2f} {change:>8}")
    totals = {
        key: sum(one.get(key, 0) for one in figures["clients"])
        for key in ("scrapes", "connects", "idle", "slow_senders", "slow_readers")
    }
    out.append(", ".join(f"{key} {value}" for key, value in totals.items()))
    statuses: dict[str, int] = {}
    for one in figures["clients"]:
        for status, count in one["statuses"].items():
            statuses[status] = statuses.get(status, 0) + count
    out.append(
        f"responses {statuses}; changes {sum(one['changes'] for one in figures['loaded'])} with clients"
    )
    change = median("loaded", "p50_ms") / median("quiet", "p50_ms") - 1
    wrong = []
    if change >= BUDGET:
        wrong.append(f"the median latency rose by {change:.1%}; the budget is {BUDGET:.0%}")
    if figures["lease"][0] != figures["lease"][1]:
        wrong.append(f"the Lease changed: {figures['lease']}")
    if totals["scrapes"] < options.scrapes:
        wrong.append(f"only {totals['scrapes']} scrapes of {options.scrapes} were answered")
    return "\n".join(out), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scrapes", type=int, default=5000, help="scrapes that have to be answered")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window")
    parser.add_argument("--rate", type=float, default=500.0, help="changes per second")
    parser.add_argument("--write", action="store_true", help="each reconcile writes to the API server")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    figures = asyncio.run(measure(options))
    text, wrong = table(figures, options)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    for problem in wrong:
        print(f"FAILED: {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
