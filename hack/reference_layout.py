"""The pages of the API reference: which public name is on which page and in which section.

Contract:
    * A name belongs to the section with the longest prefix of the module that defines it.
    * A public name that matches no section is an error of the generator, so a new module needs an entry here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PACKAGES", "PAGES", "Page"]

PACKAGES = ("aimctl.runtime", "aimctl.testing", "aimctl.devcluster", "aimctl.simulation", "aimctl.operator")
"""The public packages."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        file: its name in ``docs/reference``.
        title: its heading.
        package: from which its names are imported.
        about: the sentence below the heading.
        sections: headings, each with the prefixes of modules, separated by spaces.
    """

    file: str
    title: str
    package: str
    about: str
    sections: dict[str, str]


PAGES = (
    Page(
        "program.md",
        "API: programs and extensions",
        "aimctl.runtime",
        "A complete operator in one call, its flags, its extensions, and the checks before its start.",
        {
            "Run a program": "aimctl.runtime.program aimctl.runtime.program.run aimctl.runtime.program.options",
            "Traces": "aimctl.runtime.tracing aimctl.runtime.program.traces",
            "Extensions": "aimctl.runtime.program.extensions",
            "Checks before the start": "aimctl.runtime.program.preflight",
            "Manifests": "aimctl.runtime.program.manifests",
        },
    ),
    Page(
        "manager.md",
        "API: manager",
        "aimctl.runtime",
        "The manager connects and runs the parts: client, caches, controllers, leader election, events, servers.",
        {
            "The manager": "aimctl.runtime.manager",
            "Several clusters": "aimctl.runtime.manager.clusters",
            "Leader election": "aimctl.runtime.manager.leaderelection",
            "Events": "aimctl.runtime.manager.events",
            "Metrics, logs and signals": (
                "aimctl.runtime.manager.metrics aimctl.runtime.manager.logs aimctl.runtime.manager.signals"
            ),
            "Time": "aimctl.runtime.clock aimctl.kubetypes.helpers.times",
        },
    ),
    Page(
        "controller.md",
        "API: controllers",
        "aimctl.runtime",
        "Reconcilers and their outcomes, and the sources, handlers and predicates that cause reconciles.",
        {
            "Reconcilers and outcomes": (
                "aimctl.runtime.controller.reconcile aimctl.runtime.controller.outcome aimctl.kubetypes.meta.Request "
                "aimctl.runtime.controller"
            ),
            "The controller": "aimctl.runtime.controller.controller",
            "Sources": "aimctl.runtime.controller.sources",
            "Handlers": "aimctl.runtime.controller.handlers",
            "Events of objects": "aimctl.runtime.controller.events",
            "Predicates": "aimctl.runtime.controller.predicates",
            "Observation": "aimctl.runtime.controller.hotloop aimctl.runtime.controller.metrics",
        },
    ),
    Page(
        "cache.md",
        "API: cache",
        "aimctl.runtime",
        "Informers that hold the objects of the declared kinds in memory.",
        {
            "Declaring and reading": "aimctl.runtime.cache.cache",
            "Informers": (
                "aimctl.runtime.cache.informer aimctl.runtime.cache.declaration aimctl.runtime.cache.dispatch "
                "aimctl.runtime.cache.storage aimctl.runtime.cache"
            ),
            "Selectors": "aimctl.runtime.cache.selectors",
            "Reflectors": "aimctl.runtime.cache.reflector aimctl.runtime.cache.metrics",
            "Errors": "aimctl.runtime.cache.errors",
        },
    ),
    Page(
        "client.md",
        "API: client",
        "aimctl.runtime",
        "Requests to the API server, connections and credentials, and the errors that requests raise.",
        {
            "Requests": "aimctl.runtime.kube.client aimctl.runtime.kube.reader aimctl.runtime.kube.answers",
            "Watches": "aimctl.runtime.kube.watch",
            "Discovery": "aimctl.runtime.kube.discovery",
            "Connections": "aimctl.runtime.kube.credentials",
            "Transports": "aimctl.runtime.kube.transport aimctl.runtime.kube.http",
            "Errors": "aimctl.runtime.kube.errors",
        },
    ),
    Page(
        "writing.md",
        "API: writes",
        "aimctl.runtime",
        "Helpers for owners, finalizers, conditions, quantities and writes that change only what differs.",
        {
            "Create, apply, modify": "aimctl.runtime.writing",
            "Owner references": "aimctl.kubetypes.helpers.owners",
            "Finalizers": "aimctl.kubetypes.helpers.finalizers",
            "Conditions": "aimctl.kubetypes.helpers.conditions",
            "Bodies": "aimctl.kubetypes.helpers.bodies",
            "Quantities": "aimctl.kubetypes.quantity",
        },
    ),
    Page(
        "kinds.md",
        "API: kinds and objects",
        "aimctl.runtime",
        "Resources, cached objects and their metadata, the built-in kinds, and kinds of your own with their CRDs.",
        {
            "Resources and objects": "aimctl.kubetypes.objects",
            "Metadata": "aimctl.kubetypes.meta aimctl.kubetypes.view",
            "Kinds of your own": "aimctl.generation",
            "Schema keywords": "aimctl.generation.keywords",
            "Permissions": (
                "aimctl.kubetypes.permissions aimctl.generation.roles aimctl.kubetypes.machinery "
                "aimctl.kubetypes.builtin"
            ),
            "Errors": "aimctl.kubetypes.errors aimctl.generation.errors",
            "Built-in kinds": "aimctl.kubetypes.kinds aimctl.kubetypes.k8s",
        },
    ),
    Page(
        "queue.md",
        "API: work queue",
        "aimctl.runtime",
        "The queue of a controller, its rate limiters, and its metrics.",
        {
            "The queue": "aimctl.runtime.queue aimctl.runtime.queue.items aimctl.runtime.queue.workqueue",
            "Rate limiters": "aimctl.runtime.queue.ratelimit aimctl.kubetypes.helpers.backoff",
            "Metrics": "aimctl.runtime.queue.metrics",
        },
    ),
    Page(
        "testing.md",
        "API: testing",
        "aimctl.testing",
        "Virtual time and hosting of the embedded cluster. The pytest fixtures are in `aimctl.testing.plugin`.",
        {"Virtual time and hosting": "aimctl.testing", "Fixtures": "aimctl.testing.plugin"},
    ),
    Page(
        "operator.md",
        "API: the AIM operator",
        "aimctl.operator",
        "The AIM operator as a component of a manager of your own.",
        {"The operator": "aimctl.operator aimctl.controllers.options"},
    ),
    Page(
        "devcluster.md",
        "API: embedded cluster",
        "aimctl.devcluster",
        "The embedded cluster: API server, controllers and simulated nodes in the process of a test or program.",
        {
            "The cluster": "aimctl.devcluster aimctl.devcluster.cluster aimctl.devcluster.machinery",
            "Fault injection": "aimctl.devcluster.faults",
            "API server": "aimctl.devcluster.apiserver aimctl.devcluster.storage",
            "Nodes and containers": "aimctl.devcluster.node",
            "Controllers": "aimctl.devcluster.controllers",
            "Add-ons": "aimctl.devcluster.add_ons",
        },
    ),
    Page(
        "simulation.md",
        "API: simulation of the AIM environment",
        "aimctl.simulation",
        "What the AIM operator needs around it, simulated on the embedded cluster.",
        {
            "Environment": "aimctl.simulation.environment aimctl.simulation.machines",
            "Images and sources": "aimctl.simulation.catalogue aimctl.simulation.hub",
            "Registry": "aimctl.simulation.registry aimctl.simulation.registry_front",
            "Simulated downloads": "aimctl.simulation.downloads",
            "KServe": "aimctl.simulation.kserve",
        },
    ),
)
