"""The result of template selection, and the lists of templates in its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.domain import conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimctl.api.v1alpha1 import ServiceState
    from aimctl.domain.services.candidates import Match
    from aimctl.domain.templates.template import Template

__all__ = ["MATCHES_SHOWN", "Choice", "list_names", "list_reasons"]

MATCHES_SHOWN = 256
"""Entries of ``status.templateMatching``. The templates that reached the latest steps come first."""

_NAMED = 3
"""Candidates, or causes, that a message names."""

_REASONS = 180
"""Characters for all reasons that a message states."""


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """The template that the spec of a service leads to: the one to use or, with overrides, the base of the derived one.

    Attributes:
        template: None if there is none.
        reason, message: of the condition ``Resolved``.
        state: of the service, if there is no template.
        matches: the evaluated templates, in the order of :func:`~aimctl.domain.services.candidates.sort_matches`.
        awaits: UIDs of the templates that are waited for, also those whose wait has ended.
    """

    template: Template | None
    reason: str
    message: str
    state: ServiceState | None = None
    matches: tuple[Match, ...] = ()
    awaits: tuple[str, ...] = ()

    def matching(self) -> list[dict[str, Any]]:
        """``status.templateMatching``."""
        selected = self.template.meta.uid if self.template is not None else None
        return [
            match.to_json(selected=match.template.meta.uid == selected)
            for match in self.matches[:MATCHES_SHOWN]
        ]


def list_reasons(matches: Sequence[Match]) -> str:
    """Templates with why they are excluded. What several have in common is stated once."""
    causes: dict[str, list[str]] = {}
    for match in matches:
        causes.setdefault(match.message, []).append(match.template.meta.name)
    shown = list(causes.items())[:_NAMED]
    limit = _REASONS // max(1, len(shown))
    reasons = "; ".join(
        f"{conditions.list_few(names)} ({conditions.abridge(message, limit)})" for message, names in shown
    )
    return reasons + _more(len(matches) - sum(len(names) for _, names in shown))


def list_names(names: Iterable[str]) -> str:
    """Names in order, the first few of them."""
    listed = sorted(names)
    return ", ".join(listed[:_NAMED]) + _more(len(listed) - _NAMED)


def _more(count: int) -> str:
    return f" and {count} more, see status.templateMatching" if count > 0 else ""
