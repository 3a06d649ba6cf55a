"""``aimctl rediscover``: ask for another discovery of templates whose inputs did not change.

Discovery is done once per input, so it is not repeated when only the world around has changed: a Secret has got the
right content, a registry is back. The request is an annotation, which is part of the input.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from aimctl.cli import CommandError
from aimctl.controllers.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.domain.discovery_job import REDISCOVER_ANNOTATION
from aimctl.runtime.clock import LoopClock, format_micro_time
from aimctl.runtime.kube import Client, HttpTransport, KubeError, NotFound, load_connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.runtime.kube import Resource

__all__ = ["rediscover"]


def rediscover(names: Sequence[str], *, namespace: str | None, cluster: bool, kubeconfig: str | None) -> None:
    """Ask for each template, in order; says so for each.

    Args:
        names: templates.
        namespace: where they are; None for the kubeconfig's.
        cluster: they are cluster templates.
        kubeconfig: see ``load_connection``.

    Raises:
        CommandError: the first that cannot be asked for; those before it were.
    """
    asyncio.run(_rediscover(names, namespace, cluster, kubeconfig))


async def _rediscover(
    names: Sequence[str], namespace: str | None, cluster: bool, kubeconfig: str | None
) -> None:
    clock = LoopClock()
    try:
        connection = await load_connection(kubeconfig, environ=os.environ, clock=clock)
        where = "" if cluster else namespace or connection.namespace
        async with HttpTransport(connection, clock=clock) as transport:
            client = Client(transport, clock=clock, field_manager="aimctl-rediscover")
            for name in names:
                await _ask(client, CLUSTER_TEMPLATES if cluster else TEMPLATES, name, where, clock)
    except KubeError as error:
        raise CommandError(str(error)) from error


async def _ask(client: Client, resource: Resource[Any], name: str, namespace: str, clock: LoopClock) -> None:
    shown = f"{namespace}/{name}" if namespace else name
    annotations = {REDISCOVER_ANNOTATION: format_micro_time(clock.now())}
    try:
        found = await client.get(resource, name, namespace)
        if found.view.spec.model_sources:
            raise CommandError(f"{shown} has spec.modelSources: nothing is discovered for it")
        await client.patch(resource, name, {"metadata": {"annotations": annotations}}, namespace)
    except NotFound as error:
        remedy = "name its namespace with -n, or say --cluster" if namespace else "without --cluster, name -n"
        raise CommandError(f"no {resource.kind} {shown!r} ({error}); {remedy}") from error
    print(f"{shown}: discovery runs again")
