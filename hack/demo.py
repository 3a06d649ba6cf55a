"""`make demo`: the embedded cluster, the operator, the samples, and a live view of what happens.

It applies `config/samples` as `kubectl apply --server-side` would, watches templates, services, caches and models until
each is in the state that `config/samples/expected.yaml` names, and ends with tables of all of them. Exit code 0 only if
each is in the state it should be in and never more than ten discovery Jobs were unfinished at once.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from demo_scene import Scene, shown
from demo_views import final_view, live_view, plain_line
from rich.console import Console
from rich.live import Live

from aimctl.cli.dev import DevSettings, dev_cluster
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import Client, ConnectionInfo, HttpTransport
from aimctl.runtime.kube.discovery import discover
from aimctl.runtime.manager import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).resolve().parent.parent / "config" / "samples"
LIMIT = 10
PATIENCE_SECONDS = 90.0
UNDECIDED = "AIMService.ml-research.which-one"


def documents() -> Iterator[dict[str, Any]]:
    """Every sample, in the order of the files' names."""
    for path in sorted(SAMPLES.glob("*.yaml")):
        yield from (item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item)


def expectations() -> dict[str, tuple[str, str]]:
    """Key -> state and reason."""
    data = yaml.safe_load((SAMPLES / "expected.yaml").read_text(encoding="utf-8"))["data"]
    return {key: tuple(text.split()) for key, text in data.items()}


async def play(client: Client, console: Console, began: float) -> bool:
    """Apply, watch, judge."""
    scene = Scene(expectations())
    served = await discover(client)
    for document in documents():
        group, _, version = document["apiVersion"].rpartition("/")
        kind = served.find(group, document["kind"], version)
        if kind is None:
            raise SystemExit(f"the cluster does not serve {document['apiVersion']} {document['kind']}")
        await client.apply(kind.resource, document)
    console.print(f"applied {SAMPLES.name}: {len(scene.expected)} objects are to come to a state")
    end = time.monotonic() + PATIENCE_SECONDS
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while not scene.complete and time.monotonic() < end:
                await scene.look(client)
                live.update(live_view(scene, time.monotonic() - began, LIMIT))
                await asyncio.sleep(0.1)
    else:
        last = ""
        while not scene.complete and time.monotonic() < end:
            await scene.look(client)
            line = plain_line(scene, LIMIT)
            if line != last:
                console.print(f"{time.monotonic() - began:5.1f} s  {line}", highlight=False)
                last = line
            await asyncio.sleep(0.5)
    console.print(final_view(scene))
    right, held = scene.complete, scene.most_running <= LIMIT
    console.print(
        f"{scene.discovered} discoveries ran, never more than {scene.most_running} at once (limit {LIMIT}); "
        f"{time.monotonic() - began:.0f} s in all",
        highlight=False,
    )
    if right:
        tell(scene, console)
    else:
        console.print("[bold red]not everything is in the state it should be in[/]")
    if not held:
        console.print("[bold red]the limit on discovery Jobs was broken[/]")
    return right and held


def tell(scene: Scene, console: Console) -> None:
    """What is worth a second look; and in the operator's own words, why a service has no template."""
    console.print(
        "Not all are meant to be well: an image that nobody pushed, a GPU that no node\n"
        "has, a model that nobody made, a source that wants a token. Each status says so.\n"
        "Two services with the same overrides share the template derived for them.\n"
        f"{shown(UNDECIDED)} cannot choose, and says why:"
    )
    console.print(scene.sights[UNDECIDED].message, style="dim", highlight=False)


async def main() -> int:
    """Run the demo; 0 when all is as it should be."""
    configure_logging("error", "console")
    console, began = Console(), time.monotonic()
    console.print("starting an embedded Kubernetes cluster and the AIM operator in this process ...")
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        settings = DevSettings(kubeconfig_out=Path(folder) / "kubeconfig", discovery_limit=LIMIT)
        async with dev_cluster(settings) as running:
            console.print("look around meanwhile, from another terminal:")
            console.print(
                f"kubectl --kubeconfig {running.kubeconfig} get aim -A",
                soft_wrap=True,
                highlight=False,
            )
            clock = LoopClock()
            async with HttpTransport(ConnectionInfo(running.url), clock=clock) as transport:
                good = await play(Client(transport, clock=clock, field_manager="demo"), console, began)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
