"""What the shell offers after TAB: kinds, namespaces and names, from the cluster where that is quick.

Contract:
    * Nothing is ever printed and nothing ever raised: a person who presses TAB wants words or silence. Whatever goes
      wrong (no cluster, no rights, too slow) means no words.
    * The whole takes at most :data:`SECONDS` once Python is up, and metadata is all that is read.
    * What stands earlier on the command line counts: ``--kubeconfig``, ``--context``, ``-n`` and the kind.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - typer reads the annotations at run time

from aimctl.cli.kindwords import KIND_WORDS, find_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aimctl.cli.kindwords import KindWord

__all__ = ["contexts", "kinds_or_objects", "names", "namespaces", "service_names", "template_names"]

SECONDS = 3.0
"""Limit of one completion."""

_MOST = 500
"""Names that are read; more would be of no use to anybody."""

_GROUP, _VERSION = "aim.silogen.ai", "v1alpha1"


def kinds_or_objects(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Kinds: short names and plurals; after ``KIND/``, its objects."""
    word, slash, start = incomplete.partition("/")
    if slash:
        kind = find_kind(word)
        found = _objects(context, (kind,) if kind is not None else ())
        return [(f"{word}/{name}", text) for name, text in found if name.startswith(start)]
    if not incomplete or any(kind.short.startswith(incomplete.lower()) for kind in KIND_WORDS):
        return [
            (kind.short, f"{kind.kind}: {kind.help}")
            for kind in KIND_WORDS
            if kind.short.startswith(incomplete.lower())
        ]
    lower = incomplete.lower()
    return [(kind.plural, kind.help) for kind in KIND_WORDS if kind.plural.startswith(lower)]


def names(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Objects of the kind that stands before."""
    kind = find_kind(str(context.params.get("kind") or ""))
    return _starting(_objects(context, () if kind is None else (kind,)), incomplete)


def service_names(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """What ``aimctl status`` can be asked about, services first."""
    wanted = [kind for kind in KIND_WORDS if not kind.kind.endswith("RuntimeConfig")]
    return _starting(_objects(context, wanted), incomplete)


def template_names(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Templates of the namespace, or cluster templates after ``--cluster``; those not given yet."""
    kind = find_kind("aimclst" if context.params.get("cluster") else "aimst")
    given = context.params.get("names") or ()
    found = _starting(_objects(context, () if kind is None else (kind,)), incomplete)
    return [one for one in found if one[0] not in given]


def namespaces(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Namespaces, for those who may list them."""
    return _starting(_ask(context, [("/api/v1/namespaces", "")], every=True), incomplete)


def contexts(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The contexts of the kubeconfig files; no cluster is asked."""
    import yaml

    path = str(context.params.get("kubeconfig") or os.environ.get("KUBECONFIG") or "~/.kube/config")
    found: dict[str, str] = {}
    for part in path.split(os.pathsep):
        try:
            with open(os.path.expanduser(part), encoding="utf-8") as file:  # noqa: PTH123,PTH111 - quick
                document = yaml.safe_load(file)
            for entry in document.get("contexts") or ():
                found.setdefault(str(entry["name"]), str((entry.get("context") or {}).get("cluster") or ""))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError):
            continue  # half a kubeconfig completes half the names
    return _starting(found.items(), incomplete)


def _starting(found: Iterable[tuple[str, str]], incomplete: str) -> list[tuple[str, str]]:
    return sorted({one for one in found if one[0].startswith(incomplete)})


def _objects(context: typer.Context, kinds: Iterable[KindWord]) -> list[tuple[str, str]]:
    wanted = []
    for kind in kinds:
        base = f"/apis/{_GROUP}/{_VERSION}"
        space = "/namespaces/{namespace}" if kind.namespaced else ""
        wanted.append((f"{base}{space}/{kind.plural}", kind.kind))
    return _ask(context, wanted, every=bool(context.params.get("all_namespaces"))) if wanted else []


def _ask(context: typer.Context, paths: Sequence[tuple[str, str]], *, every: bool) -> list[tuple[str, str]]:
    """Names found under the paths, each with the kind's word; nothing when anything is amiss."""
    logging.disable(logging.CRITICAL)
    try:
        with _quiet():
            return asyncio.run(_within(context.params, paths, every=every))
    except Exception:  # noqa: BLE001 - see the contract: silence, whatever it was
        return []


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard error, not even from an exec plugin: it would stand in the middle of the command line."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


async def _within(
    params: dict[str, Any], paths: Sequence[tuple[str, str]], *, every: bool
) -> list[tuple[str, str]]:
    from aimctl.runtime.clock import LoopClock
    from aimctl.runtime.kube import Client, HttpTransport, load_connection

    clock = LoopClock()
    async with asyncio.timeout(SECONDS):
        info = await load_connection(
            params.get("kubeconfig"), environ=os.environ, clock=clock, context=params.get("cluster_context")
        )
        namespace = params.get("namespace") or info.namespace
        async with HttpTransport(info, clock=clock, timeout_seconds=SECONDS) as transport:
            client = Client(transport, clock=clock)
            answers = await asyncio.gather(
                *(_names(client, _in(path, namespace, every=every)) for path, _ in paths),
                return_exceptions=True,
            )
    return [
        (name, word)
        for (_, word), answer in zip(paths, answers, strict=True)
        if not isinstance(answer, BaseException)
        for name in answer
    ]


def _in(path: str, namespace: str, *, every: bool) -> str:
    return path.replace("/namespaces/{namespace}", "" if every else f"/namespaces/{namespace}")


async def _names(client: Any, path: str) -> list[str]:
    import msgspec

    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
    body = await client.read(path, query=(("limit", str(_MOST)),), accept=accept)
    items = msgspec.json.decode(body).get("items") or ()
    return [str(item["metadata"]["name"]) for item in items]
