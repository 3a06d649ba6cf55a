"""The informer of the official client (``kubernetes.informer``) doing the bench's work: one handler that counts.

It keeps the decoded objects, as its users read them. Its list function must return an object with ``items``, but the
API for custom objects returns a dict, so a function in between converts it. It runs in a thread of its own.

Usage: ``contender_official.py OBJECTS UPDATES --server URL|--kubeconfig PATH``.
"""

from __future__ import annotations

import argparse
import asyncio
from types import SimpleNamespace
from typing import Any

from kubernetes import client, config
from kubernetes.informer import ADDED, MODIFIED, SharedInformer
from measure import Phases, read_commands
from templates import PLURAL


def informer(api: client.CustomObjectsApi) -> SharedInformer:
    """An informer of the templates."""

    def listed(**options: Any) -> Any:
        """:return: object"""
        found = api.list_cluster_custom_object("aim.silogen.ai", "v1alpha1", PLURAL, **options)
        if options.get("watch"):
            return found
        version = found["metadata"]["resourceVersion"]
        return SimpleNamespace(items=found["items"], metadata=SimpleNamespace(resource_version=version))

    return SharedInformer(
        listed, key_func=lambda body: f"{body['metadata']['namespace']}/{body['metadata']['name']}"
    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("objects", type=int)
    parser.add_argument("updates", type=int)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server")
    where.add_argument("--kubeconfig")
    options = parser.parse_args()
    settings = client.Configuration()
    if options.server:
        settings.host = options.server
    else:
        config.load_kube_config(options.kubeconfig, client_configuration=settings)
    phases = Phases(options.objects, options.updates)
    with client.ApiClient(settings) as connection:
        running = informer(client.CustomObjectsApi(connection))
        for kind in (ADDED, MODIFIED):
            running.add_event_handler(kind, lambda _: phases.seen())
        async with asyncio.TaskGroup() as group:
            group.create_task(read_commands(phases.command))
            phases.begin()
            running.start()
            await phases.ended.wait()
    # Its thread is a daemon that waits for the next event; stopping it would wait for that as well.


asyncio.run(main())
