"""The base class of all API types, and the declaration of a kind of this group.

Contract:
    * Types are for reading: frozen, camelCase in JSON, snake_case in Python. Unknown fields are ignored, and
      constraints on length or pattern are not checked again, so an object that was stored with an older or newer
      schema can still be read. The API server validates input; the constraints exist for the CRDs.
    * Lists are tuples. Mappings are plain dicts and must not be modified.
    * Every field has a description, which ``kubectl explain`` prints.
    * A status that does not fit its type counts as absent, because it is the operator's own: another operator with the
      same kinds has written it. See :func:`has_foreign_status`.
    * :func:`kind` adds what a type cannot express: plural, short names, scope, columns.

This package imports pydantic and nothing from the runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from aimctl.generation import CustomKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidatorFunctionWrapHandler

    from aimctl.generation import PrinterColumn, Scale

__all__ = ["API_VERSION", "GROUP", "VERSION", "KindView", "View", "has_foreign_status", "kind"]

GROUP = "aim.silogen.ai"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class View(BaseModel):
    """A frozen JSON object."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that the API server expects: aliases as keys, without unset and null fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


class KindView(View):
    """One object of a kind with a status."""

    @field_validator("status", mode="wrap", check_fields=False)
    @classmethod
    def _own_status(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            return read(value)
        except ValidationError:
            return cls.model_fields["status"].default


def has_foreign_status(view: KindView, status: Mapping[str, Any]) -> bool:
    """Whether the object has a status that does not fit its type. ``status`` is the one of the stored object."""
    return bool(status) and getattr(view, "status", None) is type(view).model_fields["status"].default


T = TypeVar("T", bound=View)


def kind(
    view: type[T],
    plural: str,
    short_names: tuple[str, ...],
    *,
    namespaced: bool = True,
    columns: tuple[PrinterColumn, ...],
    scale: Scale | None = None,
) -> CustomKind[T]:
    """Declare a kind of the group ``aim.silogen.ai``, version ``v1alpha1``.

    Args:
        view: type of one object, with the name of the kind; its docstring is the description of the kind.
        plural: name in URLs.
        short_names: abbreviations that ``kubectl get`` accepts.
        namespaced: whether objects are in namespaces.
        columns: printer columns of ``kubectl get``.
        scale: the subresource, if the kind has it.
    """
    return CustomKind(
        view,
        group=GROUP,
        version=VERSION,
        plural=plural,
        namespaced=namespaced,
        short_names=short_names,
        categories=("aim", "all"),
        columns=columns,
        scale=scale,
        labels={"app.kubernetes.io/part-of": "aimctl"},
    )
