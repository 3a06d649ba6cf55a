"""A custom kind with every feature of the generator, declared with msgspec and with pydantic."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from aimctl.runtime import (
    AGE_COLUMN,
    EMBEDDED_OBJECT,
    LIST_ATOMIC,
    MAP_ATOMIC,
    CelRule,
    CustomKind,
    KindVersion,
    PrinterColumn,
    Scale,
    cel_rules,
    list_map,
    schema_keywords,
)

__all__ = ["BOTH", "MSGSPEC_SITES", "OLD_SITES", "PYDANTIC_SITES", "site"]

RANGE = cel_rules(
    CelRule(
        "self.minReplicas <= self.maxReplicas",
        "minReplicas must not exceed maxReplicas",
        reason="FieldValueInvalid",
        field_path=".minReplicas",
    )
)
IMMUTABLE = cel_rules(("self == oldSelf", "the domain is immutable"))
LABEL = "^[a-z][a-z0-9-]*$"


class Phase(StrEnum):
    """The state of a site."""

    PENDING = "Pending"
    READY = "Ready"


# ---- msgspec


class Struct(msgspec.Struct, frozen=True, rename="camel"):
    """The base."""


class MsgspecPort(Struct, frozen=True):
    """A port of a site.

    Attributes:
        name: name of the port.
        target: number of the port, or its name
            in the container.
    """

    name: Annotated[str, Meta(min_length=1, max_length=15, pattern=LABEL)]
    target: int | str = 80
    protocol: Literal["TCP", "UDP"] = "TCP"


@schema_keywords(RANGE)
class MsgspecScaling(Struct, frozen=True):
    """The limits of the number of replicas."""

    min_replicas: Annotated[int, Meta(ge=0, description="Lower limit.")] = 1
    max_replicas: Annotated[int, Meta(gt=0, lt=1000, description="Upper limit.")] = 10


class MsgspecSpec(Struct, frozen=True):
    """The desired state.

    Attributes:
        domain: where the site is served.
        replicas: number of pods.
    """

    domain: Annotated[str, Meta(max_length=253, extra_json_schema=IMMUTABLE)]
    replicas: Annotated[int, Meta(ge=0, le=100)] = 1
    weight: Annotated[float, Meta(ge=0.0)] = 0.5
    paused: bool = False
    ports: Annotated[tuple[MsgspecPort, ...], Meta(max_length=16, extra_json_schema=list_map("name"))] = ()
    aliases: Annotated[frozenset[Annotated[str, Meta(max_length=253)]], Meta(max_length=8)] = frozenset()
    args: Annotated[tuple[str, ...], Meta(extra_json_schema=LIST_ATOMIC)] = ("--verbose",)
    headers: dict[str, Annotated[str, Meta(max_length=64)]] = {}
    scaling: MsgspecScaling | None = None
    template: Annotated[Any, Meta(extra_json_schema=EMBEDDED_OBJECT)] = None
    values: dict[str, Any] = {}
    anything: Any = None


class MsgspecStatus(Struct, frozen=True):
    """The observed state."""

    phase: Phase | None = None
    replicas: int = 0
    selector: str = ""
    since: datetime | None = None
    last_error: Annotated[dict[str, str] | None, Meta(extra_json_schema=MAP_ATOMIC)] = None


class MsgspecSite(Struct, frozen=True):
    """A site on the web."""

    spec: MsgspecSpec
    status: MsgspecStatus = MsgspecStatus()


# ---- pydantic


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)


class PydanticPort(Model):
    """A port of a site.

    Attributes:
        name: name of the port.
        target: number of the port, or its name
            in the container.
    """

    name: str = Field(min_length=1, max_length=15, pattern=LABEL)
    target: int | str = 80
    protocol: Literal["TCP", "UDP"] = "TCP"


@schema_keywords(RANGE)
class PydanticScaling(Model):
    """The limits of the number of replicas."""

    min_replicas: int = Field(1, ge=0, description="Lower limit.")
    max_replicas: int = Field(10, gt=0, lt=1000, description="Upper limit.")


class PydanticSpec(Model):
    """The desired state.

    Attributes:
        domain: where the site is served.
        replicas: number of pods.
    """

    domain: str = Field(max_length=253, json_schema_extra=IMMUTABLE)
    replicas: int = Field(1, ge=0, le=100)
    weight: float = Field(0.5, ge=0)
    paused: bool = False
    ports: tuple[PydanticPort, ...] = Field((), max_length=16, json_schema_extra=list_map("name"))
    aliases: frozenset[Annotated[str, Field(max_length=253)]] = Field(frozenset(), max_length=8)
    args: tuple[str, ...] = Field(("--verbose",), json_schema_extra=LIST_ATOMIC)
    headers: dict[str, Annotated[str, Field(max_length=64)]] = {}
    scaling: PydanticScaling | None = None
    template: Any = Field(None, json_schema_extra=EMBEDDED_OBJECT)
    values: dict[str, Any] = {}
    anything: Any = None


class PydanticStatus(Model):
    """The observed state."""

    phase: Phase | None = None
    replicas: int = 0
    selector: str = ""
    since: datetime | None = None
    last_error: dict[str, str] | None = Field(None, json_schema_extra=MAP_ATOMIC)


class PydanticSite(Model):
    """A site on the web."""

    spec: PydanticSpec
    status: PydanticStatus = PydanticStatus()


# ---- kinds


class OldSpec(Struct, frozen=True):
    domain: str


class OldSite(Struct, frozen=True):
    """A site on the web."""

    spec: OldSpec


OLD_SITES = KindVersion("v1alpha1", OldSite, deprecation="use web.example.org/v1")


def _kind(view: type[Any]) -> CustomKind[Any]:
    return CustomKind(
        view,
        group="web.example.org",
        version="v1",
        name="Site",
        short_names=("st",),
        categories=("all", "web"),
        columns=(
            PrinterColumn("Domain", "string", ".spec.domain", "Where the site is served."),
            PrinterColumn("Since", "date", ".status.since", priority=1),
            AGE_COLUMN,
        ),
        scale=Scale(label_selector=".status.selector"),
        other_versions=(OLD_SITES,),
        labels={"app": "web"},
    )


MSGSPEC_SITES: CustomKind[MsgspecSite] = _kind(MsgspecSite)
PYDANTIC_SITES: CustomKind[PydanticSite] = _kind(PydanticSite)
BOTH = (MSGSPEC_SITES, PYDANTIC_SITES)


def site(name: str, **spec: Any) -> dict[str, Any]:
    """A site, for a request."""
    return {
        "apiVersion": "web.example.org/v1",
        "kind": "Site",
        "metadata": {"name": name},
        "spec": {"domain": "example.org", **spec},
    }
