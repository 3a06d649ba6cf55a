"""Shell completion of kinds, namespaces, names and contexts.

Contract:
    * A completion function never prints and never raises. After any failure (no cluster, no permissions, too slow) it
      offers nothing.
    * It takes at most :data:`SECONDS` once Python has started, and reads only metadata.
    * Earlier words of the command line apply: ``--kubeconfig``, ``--context``, ``-n`` and the kind.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - typer reads the annotations at run time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aimctl.kubetypes import Resource

__all__ = ["contexts", "kinds_or_objects", "names", "namespaces", "object_names", "template_names"]

SECONDS = 3.0
"""Time limit of one completion."""

_MOST = 500
"""Most names that are read."""

Words = list[tuple[str, str]]
"""Completions: each a word and its explanation."""


def kinds_or_objects(context: typer.Context, incomplete: str) -> Words:
    """Kinds by short name, otherwise by plural; after ``KIND/``, its objects."""
    from aimctl.api.kinds import KINDS
    from aimctl.cli.kinds import summary_of

    word, slash, start = incomplete.partition("/")
    if slash:
        found = _starting(_objects(context, _named(word)), start)
        return [(f"{word}/{name}", text) for name, text in found]
    lower = incomplete.lower()
    short = [
        (kind.short_names[0], f"{kind.name}: {summary_of(kind)}")
        for kind in KINDS
        if kind.short_names[0].startswith(lower)
    ]
    return short or [(kind.plural, summary_of(kind)) for kind in KINDS if kind.plural.startswith(lower)]


def names(context: typer.Context, incomplete: str) -> Words:
    """Objects of the kind that was given before."""
    return _starting(_objects(context, _named(str(context.params.get("kind") or ""))), incomplete)


def object_names(context: typer.Context, incomplete: str) -> Words:
    """Objects of all kinds that have a state."""
    from aimctl.api.kinds import OPERATOR_KINDS

    kinds = [one for one in OPERATOR_KINDS if not one.kind.endswith("RuntimeConfig")]
    return _starting(_objects(context, kinds), incomplete)


def template_names(context: typer.Context, incomplete: str) -> Words:
    """Templates of the namespace, or cluster templates after ``--cluster``, without those given already."""
    from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES

    kind: Resource[Any] = CLUSTER_TEMPLATES if context.params.get("cluster") else TEMPLATES
    given = context.params.get("names") or ()
    return [one for one in _starting(_objects(context, [kind]), incomplete) if one[0] not in given]


def namespaces(context: typer.Context, incomplete: str) -> Words:
    """Namespaces."""
    from aimctl.kubetypes.builtin import NAMESPACES

    return _starting(_objects(context, [NAMESPACES]), incomplete)


def contexts(context: typer.Context, incomplete: str) -> Words:
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
            continue  # the other files may still be good
    return _starting(found.items(), incomplete)


def _starting(found: Iterable[tuple[str, str]], incomplete: str) -> Words:
    return sorted({one for one in found if one[0].startswith(incomplete)})


def _named(word: str) -> list[Resource[Any]]:
    """The kind with this name, if there is one."""
    from aimctl.api.kinds import OPERATOR_KINDS
    from aimctl.cli.kinds import find_kind

    found = find_kind(word)
    return [one for one in OPERATOR_KINDS if found is not None and one.kind == found.name]


def _objects(context: typer.Context, kinds: Sequence[Resource[Any]]) -> Words:
    """The names of the objects of these kinds, each with its kind; nothing after any failure."""
    logging.disable(logging.CRITICAL)
    try:
        with _quiet():
            return asyncio.run(_within_limit(context.params, kinds))
    except Exception:  # noqa: BLE001 - see the contract
        return []


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard standard error, also that of an exec plugin: it would appear inside the command line."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


async def _within_limit(params: dict[str, Any], kinds: Sequence[Resource[Any]]) -> Words:
    from aimctl.cli.connect import Connection, connected

    connection = Connection(params.get("kubeconfig"), params.get("cluster_context"), SECONDS)
    async with asyncio.timeout(SECONDS), connected(connection) as link:
        namespace = params.get("namespace") or link.info.namespace
        where = "" if params.get("all_namespaces") else namespace
        answers = await asyncio.gather(
            *(_names(link.client, kind.path(where)) for kind in kinds), return_exceptions=True
        )
    return [
        (name, kind.kind)
        for kind, answer in zip(kinds, answers, strict=True)
        if not isinstance(answer, BaseException)
        for name in answer
    ]


async def _names(client: Any, path: str) -> list[str]:
    import msgspec

    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
    body = await client.read(path, query=(("limit", str(_MOST)),), accept=accept)
    items = msgspec.json.decode(body).get("items") or ()
    return [str(item["metadata"]["name"]) for item in items]
