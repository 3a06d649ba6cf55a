"""The validation of the structures that built-in kinds consist of, such as label selectors and taints.

Contract: :func:`structure_errors` checks an object of a built-in kind and everything below its spec by the rules in
:data:`RULES`, wherever a structure occurs, and returns the errors of the real server. Objects have the types of their
schema.

Invariant: parts of an object below which no rule applies are not visited.

Source: Kubernetes' ``apimachinery/meta/v1/validation`` and ``core/validation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.types import definitions
from aimctl.devcluster.apiserver.objects.names import label_value_errors, qualified_name_errors

if TYPE_CHECKING:
    from aimctl.devcluster.apiserver.schema import FieldError

__all__ = ["RULES", "structure_errors"]

Check = Callable[[Any, str], "Iterator[FieldError]"]
"""Yields the errors of a value, which is None if it is absent, at a path."""


def one_of(*allowed: str, needed: bool = False) -> Check:
    """One of these texts; required if it is ``needed``."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if not value:
            if needed:
                yield required(path)
        elif value not in allowed:
            yield unsupported(path, value, allowed)

    return check


def label_key(value: Any, path: str) -> Iterator[FieldError]:
    """The syntax of a label's key, which is required."""
    for text in qualified_name_errors(value or ""):
        yield invalid(path, value or "", text)


def label_value(value: Any, path: str) -> Iterator[FieldError]:
    """The syntax of a label's value."""
    texts = label_value_errors(value or "")
    if texts:
        yield invalid(path, value, ";".join(texts))


def _selector_labels(value: Any, path: str) -> Iterator[FieldError]:
    for key, each in (value or {}).items():
        for text in qualified_name_errors(key):
            yield invalid(path, key, text)
        for text in label_value_errors(each or ""):
            yield invalid(path, each, text)


def _requirement(item: Any, path: str) -> Iterator[FieldError]:
    operator, values = item.get("operator") or "", item.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden(f"{path}.values", text)
    else:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from label_key(item.get("key"), f"{path}.key")
    for index, value in enumerate(values):
        for text in label_value_errors(value or ""):
            yield invalid(f"{path}.values[{index}]", value, text)


RULES: Mapping[str, Mapping[str, Check]] = {
    "meta.v1.LabelSelector": {"matchLabels": _selector_labels},
    "meta.v1.LabelSelectorRequirement": {"": _requirement},
    "core.v1.Taint": {
        "key": label_key,
        "value": label_value,
        "effect": one_of("NoSchedule", "PreferNoSchedule", "NoExecute", needed=True),
    },
}
"""The checks of the fields of a structure, by its short name; "" stands for the structure itself."""


_PLACES = {"io.k8s.api.core.v1.Node": ("spec.taints", "metadata.taints")}
"""Where the real server names another path than that of the field."""


class _Plan(NamedTuple):
    """What to check in a structure: its rules, and the fields that lead to further rules with their plans."""

    rules: tuple[tuple[str, Check], ...]
    fields: tuple[tuple[str, str, _Plan], ...]


def structure_errors(
    definition: str, new: Mapping[str, Any], old: Mapping[str, Any] | None
) -> Iterator[FieldError]:
    """The errors of an object whose schema has this name. What did not change is not checked."""
    plan = _plan(definition)
    if plan is not None and (old is None or new.get("spec") != old.get("spec")):
        place, shown = _PLACES.get(definition, ("", ""))
        for error in _errors(plan, {key: value for key, value in new.items() if key != "status"}, ""):
            moved = place and error.field.startswith(place)
            yield replace(error, field=shown + error.field[len(place) :]) if moved else error


def _errors(plan: _Plan, value: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for name, check in plan.rules:
        place = f"{path}.{name}" if name and path else name or path
        yield from check(value.get(name) if name else value, place)
    for name, form, below in plan.fields:
        child = value.get(name)
        place = f"{path}.{name}" if path else name
        if not child:
            continue
        if form == "list":
            for index, item in enumerate(child):
                if item is not None:
                    yield from _errors(below, item, f"{place}[{index}]")
        elif form == "map":
            for key, item in child.items():
                if item is not None:
                    yield from _errors(below, item, f"{place}[{key}]")
        else:
            yield from _errors(below, child, place)


@cache
def _plan(definition: str) -> _Plan | None:
    """The plan of a definition; None if nothing below it is checked."""
    rules = tuple(RULES.get(".".join(definition.split(".")[-3:]), {}).items())
    fields = []
    for name, source in (definitions()[definition].get("properties") or {}).items():
        form, reference = _reference(source)
        # Schemas of definitions are recursive, and have a validation of their own.
        if reference and not reference.endswith("JSONSchemaProps"):
            below = _plan(reference)
            if below is not None:
                fields.append((name, form, below))
    return _Plan(rules, tuple(fields)) if rules or fields else None


def _reference(source: Mapping[str, Any]) -> tuple[str, str]:
    """How a field contains a structure ("one", "list" or "map"), and the name of its definition or ""."""
    for form, inner in (
        ("one", source),
        ("list", source.get("items") or {}),
        ("map", source.get("additionalProperties") or {}),
    ):
        if "$ref" in inner:
            return form, inner["$ref"].rpartition("/")[2]
    return "one", ""
