"""Extensions: setup functions of other packages that a program adds to its manager.

Contract:
    * An installed package offers a setup function with an entry point of a group; its name is that of the extension.
      A function can also be named as ``package.module:function``. All have the signature of :data:`Setup`.
    * The order is the same in every process: installed extensions by name, then those that were named.
    * An extension that cannot be loaded or set up ends the program with a message that names it, its package, and how
      to start without it. Its reconcilers would otherwise be missing without notice.
    * :func:`requirements_of` runs setup functions without a cluster: each request fails.
"""

from __future__ import annotations

import importlib
import inspect
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, final

import structlog

from aimctl.kubetypes.permissions import observes
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import ConnectionFailed
from aimctl.runtime.manager import Manager, Requirements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from aimctl.runtime.kube import HttpRequest, HttpResponse
    from aimctl.runtime.program.run import Setup

__all__ = [
    "CannotExtend",
    "Extension",
    "add_extensions",
    "find_extensions",
    "requirements_of",
    "set_up_without_cluster",
]


class CannotExtend(Exception):  # noqa: N818 - it is a state of the program
    """An extension cannot be found, loaded or set up; the message is one line with the remedy."""


@final
@dataclass(frozen=True, slots=True)
class Extension:
    """A setup function of another package.

    Attributes:
        name: of its entry point, or ``package.module:function``.
        origin: package and version, or the flag.
        load: imports the module and returns the function.
    """

    name: str
    origin: str
    load: Callable[[], object]


def find_extensions(
    group: str, *, named: Sequence[str] = (), skipped: Sequence[str] = ()
) -> tuple[Extension, ...]:
    """Return the extensions to add.

    Args:
        group: of the entry points.
        named: further functions, as ``package.module:function``.
        skipped: names of installed extensions that are not wanted.

    Raises:
        CannotExtend: a skipped extension is not installed, or a name has another form.
    """
    installed = {
        point.name: Extension(point.name, _origin(point), point.load)
        for point in sorted(entry_points(group=group), key=lambda point: point.name)
    }
    unknown = sorted(set(skipped) - set(installed))
    if unknown:
        raise CannotExtend(
            f"cannot skip {', '.join(unknown)}: no such extension is installed;"
            f" installed: {', '.join(installed) or 'none'}"
        )
    return (
        *(extension for name, extension in installed.items() if name not in skipped),
        *(_named(reference) for reference in dict.fromkeys(named)),
    )


def add_extensions(manager: Manager, extensions: Iterable[Extension]) -> None:
    """Add the extensions to a manager, each in a scope of its own, with the permissions that their caches imply.

    Raises:
        CannotExtend: an extension cannot be loaded or set up.
    """
    log = structlog.get_logger(__name__)
    added = tuple(extensions)
    for extension in added:
        before = set(manager.cache.informers)
        try:
            _setup(extension)(manager.scope(extension.name))
        except Exception as error:  # code of others: its error must name the extension
            log.debug("extension failed", extension=extension.name, exc_info=True)
            raise CannotExtend(
                f"extension {extension.name!r} ({extension.origin}): {type(error).__name__}: {error};"
                " fix it, or start without it (see --skip and --with)"
            ) from error
        declared = [one.resource for one in manager.cache.informers if one not in before]
        manager.requirements.add_permissions(
            *observes(*declared, reason=f"cache of the extension {extension.name}")
        )
        log.info("extension added", extension=extension.name, origin=extension.origin)
    manager.add_debug_page(
        "extensions", lambda: [{"extension": one.name, "origin": one.origin} for one in added]
    )


def requirements_of(setups: Iterable[Setup]) -> Requirements:
    """Run setup functions with a manager that has no cluster, and return their requirements.

    Raises:
        Exception: any error of a setup function.
    """
    return set_up_without_cluster(setups).requirements


def set_up_without_cluster(setups: Iterable[Setup]) -> Manager:
    """Run setup functions with a manager that is never run; its requests fail.

    Raises:
        Exception: any error of a setup function.
    """
    manager = Manager(_NoCluster(), clock=LoopClock())
    for setup in setups:
        setup(manager)
    return manager


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"


def _named(reference: str) -> Extension:
    module, colon, function = reference.partition(":")
    if not (module and colon and function):
        raise CannotExtend(f"{reference!r} does not name a function: write package.module:function")
    return Extension(reference, "--with", lambda: getattr(importlib.import_module(module), function))


def _setup(extension: Extension) -> Setup:
    loaded = extension.load()
    if not callable(loaded) or inspect.iscoroutinefunction(loaded):
        raise TypeError(f"{loaded!r} is not a function of a manager, defined with 'def'")
    function: Setup = loaded
    return function


@final
class _NoCluster:
    """A transport of a manager that is never run."""

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[HttpResponse]:
        del stream, timeout_seconds
        raise ConnectionFailed(f"{request.method} {request.path}: setup functions must not send requests")
        yield

    async def aclose(self) -> None:
        """There is nothing to close."""
