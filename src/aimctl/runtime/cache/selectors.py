"""Selectors, evaluated locally: the response to a write is cached only if the selectors match it.

The grammar of label selectors is that of ``kubectl -l``: ``a=b``, ``a==b``, ``a!=b``, ``a in (x,y)``,
``a notin (x,y)``, ``a``, ``!a``, separated by commas; all must match. ``!=`` and ``notin`` also match objects without
the label.

Of field selectors only ``metadata.name`` and ``metadata.namespace``, which every kind has, are evaluated locally. The
meaning of other fields is known to the server only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.kubetypes import ObjectKey

__all__ = ["LabelSelector", "field_selector_matches"]

# The quantifiers are possessive, so that the time is linear also for a text that does not match.
_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*+"
_VALUE = r"[-A-Za-z0-9_.]*+"
_TERM = re.compile(
    rf"""\s*+(?:
        !\s*+(?P<absent>{_KEY})
      | (?P<key>{_KEY})(?:
            \s*+(?P<sign>==|=|!=)\s*+(?P<value>{_VALUE})
          | \s++(?P<word>in|notin)\s*+\((?P<values>[^()]*+)\)
        )?
    )\s*+(?:,|$)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Term:
    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None


@final
@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A parsed selector; without terms it matches everything."""

    terms: tuple[_Term, ...] = ()

    @staticmethod
    def parse(text: str) -> LabelSelector:
        """Parse a selector.

        Raises:
            ValueError: the text is not a label selector; the message shows where parsing failed.
        """
        terms: list[_Term] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TERM.match(text, at)
            if found is None or (found.end() == end and text[end - 1] == ","):
                raise ValueError(
                    f"label selector {text!r}: cannot parse {text[at:]!r}; write it like a=b,c in (x,y),!d"
                )
            terms.append(_term(found))
            at = found.end()
        return LabelSelector(tuple(terms))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(term.matches(labels) for term in self.terms)


_FIELD = re.compile(r"metadata\.(?P<field>name|namespace)(?P<sign>==|=|!=)(?P<value>[^=!\\]*)")


def field_selector_matches(text: str, key: ObjectKey) -> bool | None:
    """Whether the object with this key matches a field selector; None if only the server can tell.

    A selector does not match if one of its terms is known not to match, whatever the others are.
    """
    known = True
    for term in filter(None, map(str.strip, text.split(","))):
        found = _FIELD.fullmatch(term)
        if found is None:
            known = False
        elif (getattr(key, found["field"]) == found["value"]) == (found["sign"] == "!="):
            return False
    return True if known else None


def _term(found: re.Match[str]) -> _Term:
    if found["absent"]:
        return _Term(found["absent"], "absent")
    if found["sign"]:
        return _Term(found["key"], "notin" if found["sign"] == "!=" else "in", frozenset({found["value"]}))
    if found["word"]:
        values = frozenset(value.strip() for value in found["values"].split(","))
        return _Term(found["key"], "in" if found["word"].strip() == "in" else "notin", values)
    return _Term(found["key"], "exists")
