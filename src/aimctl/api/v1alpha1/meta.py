"""The base class of all API types, and what the API server needs to know about a kind.

Contract:
    * Types are for reading: frozen, camelCase in JSON, snake_case in Python. Unknown fields are ignored, and
      constraints on length or pattern are not checked again, so an object that was stored with an older or newer
      schema can still be read. The API server validates input; the constraints exist for the CRDs.
    * Lists are tuples. Mappings are plain dicts and must not be modified.
    * Every field has a description, which ``kubectl explain`` prints.
    * A :class:`Kind` has what a type cannot express: plural, short names, scope, columns.

This package imports pydantic and nothing from the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

__all__ = ["API_VERSION", "GROUP", "VERSION", "Column", "Kind", "View", "age_column", "rules"]

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


T = TypeVar("T", bound=View)


@final
@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; columns of priority 1 are shown with ``-o wide`` only."""

    name: str
    type: str
    json_path: str
    description: str
    priority: int = 0


@final
@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of the group ``aim.silogen.ai``, version ``v1alpha1``.

    Attributes:
        name: CamelCase name of the kind.
        plural: name in URLs.
        short_names: abbreviations that ``kubectl get`` accepts.
        namespaced: whether objects are in namespaces.
        view: type of one object; its docstring is the description of the kind.
        columns: printer columns of ``kubectl get``.
        categories: groups of kinds that ``kubectl get`` lists together.
    """

    name: str
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool
    view: type[T]
    columns: tuple[Column, ...]
    categories: tuple[str, ...] = ("aim", "all")

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"

    def decode(self, raw: bytes) -> T:
        """Decode one JSON body.

        Raises:
            ValueError: the body does not match the type. The message is one line with each invalid field, its rule and
                its value.
        """
        try:
            return self.view.model_validate_json(raw)
        except ValidationError as error:
            raise ValueError("; ".join(map(_complaint, error.errors(include_url=False)))) from error


def _complaint(item: ErrorDetails) -> str:
    where = ".".join(map(str, item["loc"])) or "the object"
    return f"{where}: {shorten(item['msg'], 200)}, not {shorten(repr(item['input']), 80)}"


def age_column() -> Column:
    """Return the last column of every kind."""
    return Column("Age", "date", ".metadata.creationTimestamp", "Time since creation.")


def rules(*pairs: tuple[str, str]) -> Mapping[str, Any]:
    """Return CEL validation rules for ``json_schema_extra``, from pairs of rule and message."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}
