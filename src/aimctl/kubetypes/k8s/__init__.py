"""Types of the common built-in kinds with all their fields, generated from the API of Kubernetes.

Contract:
    * Every type is a frozen msgspec Struct with the name that it has in the API. Core Events are ``CoreEvent``, those
      of ``events.k8s.io`` ``Event``.
    * Texts default to "", lists to (), mappings to an empty mapping, and times, which are texts in RFC 3339, to None.
      A number or boolean is None if its absence has a meaning; required ones and those of a status default to 0 and
      False.
      Of nested types, ``metadata``, ``spec``, ``status``, ``template``, ``resources`` and the required ones are never
      None, so ``pod.view.spec.containers[0].image`` needs no check.
    * Quantities are texts, read by :mod:`aimctl.kubetypes.quantity`. ``managedFields`` are not part of the metadata.
    * Unknown fields of newer servers are ignored. Therefore these types create objects and patches, but an update with
      one would remove such fields: use the body of an object (:meth:`Object.body`) for updates.
    * A type is imported when it is first used; ``__init__.pyi`` has the same names for type checkers.

An operator that reads only a few fields can use smaller types of its own, which are faster to decode.
"""

from __future__ import annotations

from importlib import import_module

from aimctl.kubetypes.k8s.names import NAMES

__all__ = sorted(name for names in NAMES.values() for name in names)  # noqa: PLE0605 - __init__.pyi lists the names


def __getattr__(name: str) -> object:
    for module, names in NAMES.items():
        if name in names:
            value: object = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
