"""`make demo`: run the embedded cluster with the operator and the samples, and show their states live.

The demo applies `config/samples` like `kubectl apply --server-side`, reads templates, services, caches and models until
each is in the state that `config/samples/expected.yaml` lists, and prints tables of all of them. The exit code is 0 if
every object is in its expected state and at most ten discovery Jobs were unfinished at any time, otherwise 1.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from demo_state import Snapshot, shown
from demo_views import final_view, live_view, plain_line
from rich.console import Console
from rich.live import Live

from aimctl.cli.programs.development import DevSettings, dev_cluster
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import Client, ConnectionInfo, HttpTransport
from aimctl.runtime.kube.discovery import discover
from aimctl.runtime.manager import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = Path(__file__).resolve().parent.parent / "config" / "samples"
LIMIT = 10
TIMEOUT_SECONDS = 90.0
AMBIGUOUS = "AIMService.ml-research.which-one"


def documents() -> Iterator[dict[str, Any]]:
    """Yield every sample, in the order of the file names."""
    for path in sorted(SAMPLES.glob("*.yaml")):
        yield from (item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item)


def expectations() -> dict[str, tuple[str, str]]:
    """Return the expected state and reason of each object, by key."""
    data = yaml.safe_load((SAMPLES / "expected.yaml").read_text(encoding="utf-8"))["data"]
    return {key: tuple(text.split()) for key, text in data.items()}


async def play(
    client: Client, console: Console, began: float, on_frame: Callable[[Snapshot, float], None]
) -> bool:
    """Apply the samples and show their states; return whether all expectations are met.

    Each state that a terminal shows is passed to ``on_frame``, with the seconds since the begin.
    """
    snapshot = Snapshot(expectations())
    served = await discover(client)
    for document in documents():
        group, _, version = document["apiVersion"].rpartition("/")
        kind = served.find(group, document["kind"], version)
        if kind is None:
            raise SystemExit(f"the cluster does not serve {document['apiVersion']} {document['kind']}")
        await client.apply(kind.resource, document)
    console.print(
        f"applied {SAMPLES.name}: waiting until {len(snapshot.expected)} objects are in their expected states"
    )
    end = time.monotonic() + TIMEOUT_SECONDS
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while not snapshot.complete and time.monotonic() < end:
                await snapshot.refresh(client)
                live.update(live_view(snapshot, time.monotonic() - began, LIMIT))
                on_frame(snapshot, time.monotonic() - began)
                await asyncio.sleep(0.1)
    else:
        last = ""
        while not snapshot.complete and time.monotonic() < end:
            await snapshot.refresh(client)
            line = plain_line(snapshot, LIMIT)
            if line != last:
                console.print(f"{time.monotonic() - began:5.1f} s  {line}", highlight=False)
                last = line
            await asyncio.sleep(0.5)
    console.print(final_view(snapshot))
    right, held = snapshot.complete, snapshot.most_running <= LIMIT
    console.print(
        f"{snapshot.discovered} discoveries ran, never more than {snapshot.most_running} at once (limit {LIMIT}); "
        f"total time {time.monotonic() - began:.0f} s",
        highlight=False,
    )
    if right:
        explain(snapshot, console)
    else:
        console.print("[bold red]not every object is in its expected state[/]")
    if not held:
        console.print("[bold red]the limit on discovery Jobs was exceeded[/]")
    return right and held


def explain(snapshot: Snapshot, console: Console) -> None:
    """Explain the samples that fail on purpose, and print the message of a service without a template."""
    console.print(
        "Some samples fail on purpose: an image, a GPU or a model does not exist, or a\n"
        "source requires a token. The status of each object has the cause.\n"
        "Two services with the same overrides share one derived template.\n"
        f"{shown(AMBIGUOUS)} has no template, and its message says why:"
    )
    console.print(snapshot.objects[AMBIGUOUS].message, style="dim", highlight=False)


async def main(
    console: Console, on_frame: Callable[[Snapshot, float], None] = lambda _snapshot, _seconds: None
) -> int:
    """Run the demo and return its exit code."""
    configure_logging("error", "console")
    began = time.monotonic()
    console.print("starting an embedded Kubernetes cluster and the AIM operator in this process ...")
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        settings = DevSettings(kubeconfig_out=Path(folder) / "kubeconfig", discovery_limit=LIMIT)
        async with dev_cluster(settings) as running:
            console.print("To inspect it, run in another terminal:")
            console.print(
                f"kubectl --kubeconfig {running.kubeconfig} get aim -A",
                soft_wrap=True,
                highlight=False,
            )
            clock = LoopClock()
            async with HttpTransport(ConnectionInfo(running.url), clock=clock) as transport:
                client = Client(transport, clock=clock, field_manager="demo")
                good = await play(client, console, began, on_frame)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(Console())))
    except KeyboardInterrupt:
        sys.exit(130)
