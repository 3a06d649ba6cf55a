"""Logging with structlog; the loggers of the standard library use the same renderer.

Contract: one line for each event, on one stream. The format ``json`` has the keys ``time`` (UTC), ``level``, ``event``,
``logger`` and the bound values; ``console`` is for terminals. Importing the package configures nothing.
:func:`log_uncaught` does the same for errors and warnings that Python would print itself.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import Processor

__all__ = ["configure_logging", "log_uncaught"]

_LEVELS = ("debug", "info", "warning", "error")


def configure_logging(
    level: str = "info",
    format: Literal["json", "console"] = "json",  # noqa: A002 - named like the flag
    *,
    stream: TextIO | None = None,
) -> None:
    """Configure logging for the whole process; can be called repeatedly.

    Args:
        level: debug, info, warning or error.
        format: json or console.
        stream: default: standard error.

    Raises:
        ValueError: an unknown level or format.
    """
    if level.lower() not in _LEVELS:
        raise ValueError(f"log level {level!r}: use one of {', '.join(_LEVELS)}")
    if format not in {"json", "console"}:
        raise ValueError(f"log format {format!r}: use json or console")
    number = logging.getLevelNamesMapping()[level.upper()]
    target = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    if format == "json":
        last: list[Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        # The default of the renderer prints local variables, which may contain decoded Secrets.
        plain = structlog.dev.plain_traceback
        colours = target.isatty()
        last = [
            structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="time", exception_formatter=plain)
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    # The debug messages of asyncio and aiohttp may contain request bodies.
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(number, logging.INFO))


def log_uncaught() -> None:
    """Log what Python prints on standard error: uncaught errors of the process and of threads, errors in finalizers,
    and warnings. For programs, which call it once after :func:`configure_logging`.
    """

    def uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, traceback)
        else:
            log.error("uncaught error", exc_info=(kind, error, traceback))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else ""
        error = args.exc_value or args.exc_type()
        log.error("uncaught error in a thread", thread=name, exc_info=error)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        log.error(
            args.err_msg or "error that cannot be raised", object=repr(args.object), exc_info=args.exc_value
        )

    log = structlog.get_logger("python")
    sys.excepthook = uncaught
    threading.excepthook = of_thread
    sys.unraisablehook = unraisable
    logging.captureWarnings(True)
