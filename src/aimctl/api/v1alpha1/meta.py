"""What every kind has in common: the base of all types, and the facts the API server needs about a kind.

Contract:
    * Types are *reading views*: frozen, camelCase in JSON, snake_case in Python. Unknown fields are ignored,
      constraints of length or pattern are not checked again, so an object stored under an older or newer
      schema can still be read. The API server is the judge of input; the constraints are for the CRDs.
    * Lists are tuples. Mappings are plain dicts that nobody changes.
    * Every field has a description: it is what ``kubectl explain`` prints.
    * A :class:`Kind` says what a type cannot: plural, short names, scope, columns.

This package imports pydantic and nothing of the runtime.
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
        """As the API server wants it: aliases as keys, unset and null fields absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


T = TypeVar("T", bound=View)


@final
@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; priority 1 shows with ``-o wide`` only."""

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
        name: CamelCase kind.
        plural: the word in URLs.
        short_names: what ``kubectl get`` takes instead.
        namespaced: whether objects live in namespaces.
        view: the type of one object; its docstring is the kind's description.
        columns: what ``kubectl get`` shows: state, why, how old.
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
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"

    def decode(self, raw: bytes) -> T:
        """Read one JSON body.

        Raises:
            ValueError: the body does not fit the type; on one line, with each field, what it may be and what it is.
        """
        try:
            return self.view.model_validate_json(raw)
        except ValidationError as error:
            raise ValueError("; ".join(map(_complaint, error.errors(include_url=False)))) from error


def _complaint(item: ErrorDetails) -> str:
    where = ".".join(map(str, item["loc"])) or "the object"
    return f"{where}: {shorten(item['msg'], 200)}, not {shorten(repr(item['input']), 80)}"


def age_column() -> Column:
    """The last column of every kind."""
    return Column("Age", "date", ".metadata.creationTimestamp", "Time since creation.")


def rules(*pairs: tuple[str, str]) -> Mapping[str, Any]:
    """CEL validation rules, as (rule, message) pairs, for ``json_schema_extra``."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}
