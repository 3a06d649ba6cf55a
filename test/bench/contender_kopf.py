"""kopf doing the bench's work: one handler of raw events, which counts, over every namespace.

Set up in its favour: lists come in pages of 500, as aimctl's do; nothing is posted, no peering, no scanning of
the cluster's other kinds; no client library is used for logging in. It keeps no copy of the objects.

Usage: ``contender_kopf.py OBJECTS UPDATES --server URL|--kubeconfig PATH``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os

import kopf
from measure import Phases, read_commands
from templates import PLURAL


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("objects", type=int)
    parser.add_argument("updates", type=int)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server")
    where.add_argument("--kubeconfig")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    registry = kopf.OperatorRegistry()
    phases = Phases(options.objects, options.updates)

    @kopf.on.login(registry=registry)
    def login(**arguments: object) -> kopf.ConnectionInfo | None:
        if options.server:
            return kopf.ConnectionInfo(server=options.server)
        os.environ["KUBECONFIG"] = options.kubeconfig
        return kopf.login_with_kubeconfig(**arguments)

    @kopf.on.startup(registry=registry)
    async def begin(settings: kopf.OperatorSettings, **_: object) -> None:
        settings.posting.enabled = False
        settings.peering.standalone = True
        settings.scanning.disabled = True
        settings.watching.chunk_size = 500
        phases.begin()

    @kopf.on.event("aim.silogen.ai", "v1alpha1", PLURAL, registry=registry)
    async def event(**_: object) -> None:
        phases.seen()

    async with asyncio.TaskGroup() as group:
        group.create_task(read_commands(phases.command))
        group.create_task(
            kopf.operator(clusterwide=True, standalone=True, registry=registry, stop_flag=phases.ended)
        )


asyncio.run(main())
