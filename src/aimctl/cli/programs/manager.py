"""The operator on a cluster: connect, check that everything it needs is there, and run until it is stopped.

Exit codes: 0 after a clean stop, 1 with a line in the log if it cannot start or must end.
"""

from __future__ import annotations

import asyncio
import gc
import platform
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from aimctl import __version__
from aimctl.cli.connect import describe_error
from aimctl.cli.errors import CommandError
from aimctl.cli.programs.extensions import extensions
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.controllers.preflight import check
from aimctl.runtime.kube import KubeError
from aimctl.runtime.manager import configure_logging
from aimctl.runtime.manager.logs import log_uncaught
from aimctl.runtime.program import (
    GC_THRESHOLD,
    CannotExtend,
    CannotRun,
    NotInstalled,
    RunOptions,
    add_extensions,
    new_event_loop,
    run_manager,
)

if TYPE_CHECKING:
    from aimctl.runtime.kube import ConnectionInfo
    from aimctl.runtime.manager import Manager

__all__ = ["ManagerSettings", "run_operator"]


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """Settings of the process; the flags of ``aimctl manager`` describe them."""

    process: RunOptions
    operator: OperatorOptions = field(default_factory=OperatorOptions)
    with_: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


def run_operator(settings: ManagerSettings) -> None:
    """Run until a signal stops it.

    Raises:
        SystemExit: it cannot start, or must end. The last line of the log has the reason and the remedy.
    """
    configure_logging(settings.process.log_level, settings.process.log_format)
    log_uncaught()
    structlog.get_logger("aimctl").info("starting", version=__version__, python=platform.python_version())
    try:
        _run(settings)
    except CommandError as error:
        structlog.get_logger("aimctl").error("the manager ended", error=str(error))
        raise SystemExit(error.exit_code) from None


def _run(settings: ManagerSettings) -> None:
    gc.set_threshold(GC_THRESHOLD)
    operator = partial(add_controllers, options=settings.operator)
    others = partial(add_extensions, extensions=extensions(settings.with_, settings.skip))
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run_manager(settings.process, operator, others, check=partial(_check, settings)))
    except (CannotRun, CannotExtend) as error:
        raise CommandError(str(error)) from error


async def _check(settings: ManagerSettings, manager: Manager, connection: ConnectionInfo) -> None:
    process = settings.process
    namespace = process.leader_election_namespace if process.leader_elect else ""
    try:
        await check(
            manager.api_reader,
            settings.operator,
            leader_election_namespace=namespace,
            requirements=manager.requirements,
        )
    except NotInstalled as error:
        raise CommandError(str(error)) from error
    except KubeError as error:
        raise CommandError(describe_error(error, connection.server)) from error
