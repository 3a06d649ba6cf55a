"""Commands that are suggested to the user: in a hint, a note, an error or a document.

Contract: every such command is built by :func:`command`. It repeats the flags that select the cluster as the user has
typed them, so it can be copied. Commands for an administrator are the exception: an administrator has a kubeconfig of
their own.
"""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Typed", "command", "typed"]

_OF_OPERATOR_NAMESPACE = frozenset({"status", "explain", "logs", "queue"})
"""The commands of ``aimctl`` that have the flag ``--operator-namespace``."""


@final
@dataclass(frozen=True, slots=True)
class Typed:
    """Flags as they were given on the command line. What comes from the environment is not part of them.

    Attributes:
        cluster: ``--kubeconfig`` and ``--context`` with their values; kubectl has the same flags.
        namespace: the value of ``--namespace``; "" if it was not given.
        operator_namespace: the value of ``--operator-namespace``; "" if it was not given.
    """

    cluster: tuple[str, ...] = ()
    namespace: str = ""
    operator_namespace: str = ""


_TYPED: ContextVar[Typed] = ContextVar("typed", default=Typed())  # noqa: B039 - it is immutable


@contextmanager
def typed(flags: Typed) -> Iterator[None]:
    """Let commands repeat these flags inside the block."""
    token = _TYPED.set(flags)
    try:
        yield
    finally:
        _TYPED.reset(token)


def command(text: str, *, namespaced: bool = False) -> str:
    """A command of kubectl or aimctl with the flags of the user.

    Args:
        text: the command without these flags.
        namespaced: whether the namespace of the user applies as well, because the text names none.
    """
    flags, words = _TYPED.get(), text.split()
    added: list[str] = []
    if namespaced and flags.namespace:
        added += ("-n", flags.namespace)
    takes_operator = words[0] == "aimctl" and words[1] in _OF_OPERATOR_NAMESPACE
    if takes_operator and flags.operator_namespace and "--operator-namespace" not in words:
        added += ("--operator-namespace", flags.operator_namespace)
    return " ".join([*words, *map(shlex.quote, (*added, *flags.cluster))])
