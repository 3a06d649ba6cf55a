"""Functions that users pass, such as predicates, map functions and index functions: checks, and their errors.

Most are called synchronously. An ``async def`` would return a coroutine, which is true in a condition and cannot be
iterated, so it is rejected where the function is registered, or at its first call.

An error of such a function must not end the process, even if it is not an Exception: the panic of an extension module
written in Rust is a BaseException. Only :data:`ENDING` end the program.
"""

from __future__ import annotations

import asyncio
import inspect

__all__ = ["ENDING", "check_not_awaitable", "check_synchronous", "name_of", "raise_if_ending"]

ENDING = (KeyboardInterrupt, SystemExit)
"""Raised to end the program."""


def raise_if_ending(error: BaseException) -> None:
    """Raise the error again if it ends the program or cancels the task. Others concern only the function."""
    if isinstance(error, (*ENDING, asyncio.CancelledError)):
        raise error


def name_of(function: object) -> str:
    """Module and qualified name of a function, for messages; its type for other callable objects."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}".strip(".")


def check_synchronous(what: str, function: object) -> None:
    """Reject what cannot be called synchronously.

    Raises:
        TypeError: ``function`` is not callable, or is defined with ``async def``. The message begins with ``what``.
    """
    if not callable(function):
        raise TypeError(f"{what} {function!r} is not callable: pass a function")
    for candidate in (function, getattr(function, "__call__", None)):  # noqa: B004 - the method is inspected
        if inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate):
            raise TypeError(
                f"{what} {name_of(function)} is async: define it with 'def', and read from the cache"
            )


def check_not_awaitable(what: str, answer: object) -> None:
    """Reject the result of a function that turned out to be asynchronous, such as a lambda that calls one.

    Raises:
        TypeError: ``answer`` is awaitable. A coroutine is closed.
    """
    if inspect.iscoroutine(answer):
        answer.close()
    if inspect.isawaitable(answer):
        raise TypeError(f"{what} returned an awaitable: it must not be async, define it with 'def'")
