"""Custom kinds: one declaration gives the Resource for clients and caches, and the CustomResourceDefinition.

Contract:
    * A declaration is checked when it is made, except for the schemas, which :meth:`CustomKind.crd` generates. So
      importing a module of kinds costs little.
    * The same declaration gives the same CRD, in the same key order.
    * Versions are converted by the API server, which changes only ``apiVersion``: their types must agree about the
      fields that they share. There are no conversion webhooks.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import msgspec

from aimctl.generation.decoding import decoder
from aimctl.generation.errors import SchemaError
from aimctl.kubetypes import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["AGE_COLUMN", "CustomKind", "KindVersion", "PrinterColumn", "Scale"]

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """One column of ``kubectl get``.

    Attributes:
        name: heading.
        type: ``string``, ``integer``, ``number``, ``boolean`` or ``date``.
        json_path: of the value, such as ``.status.phase``.
        description: what the value means.
        priority: 0 for columns that are always shown, 1 for those of ``-o wide``.
    """

    name: str
    type: str
    json_path: str
    description: str = ""
    priority: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the item of ``additionalPrinterColumns``."""
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.json_path,
            **({"description": self.description} if self.description else {}),
            **({"priority": self.priority} if self.priority else {}),
        }


AGE_COLUMN: Final = PrinterColumn("Age", "date", ".metadata.creationTimestamp", "Time since creation.")
"""The usual last column. A kind without columns has it by default; declared columns replace it."""


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """The subresource ``scale``, which ``kubectl scale`` and HorizontalPodAutoscalers use.

    Attributes:
        spec_replicas: path of the desired number of replicas.
        status_replicas: path of the observed number.
        label_selector: path of the selector of the pods, as text; needed by HorizontalPodAutoscalers.
    """

    spec_replicas: str = ".spec.replicas"
    status_replicas: str = ".status.replicas"
    label_selector: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the value of ``subresources.scale``."""
        selector = {"labelSelectorPath": self.label_selector} if self.label_selector else {}
        return {
            "specReplicasPath": self.spec_replicas,
            "statusReplicasPath": self.status_replicas,
            **selector,
        }


@final
@dataclass(frozen=True, slots=True)
class KindVersion(Generic[T]):
    """Another version of a kind.

    Attributes:
        version: such as ``v1alpha1``.
        view: type of an object in this version.
        served: whether the API server serves it.
        deprecation: warning for users of the version; "" if it is not deprecated.
        columns: of ``kubectl get``.
        scale: the subresource.
    """

    version: str
    view: type[T]
    _: KW_ONLY
    served: bool = True
    deprecation: str = ""
    columns: tuple[PrinterColumn, ...] = ()
    scale: Scale | None = None


@final
@dataclass(frozen=True)
class CustomKind(Generic[T]):
    """A kind that a CustomResourceDefinition defines.

    Attributes:
        view: frozen type of one object: a pydantic model, a msgspec Struct or a dataclass. Its docstring is the
            description of the kind. If it has a field ``status``, the kind has the subresource.
        group: API group, a domain such as ``example.org``.
        version: that :attr:`resource` uses, such as ``v1``.
        name: CamelCase name of the kind; default: that of the type.
        plural: name in URLs; default: the English plural of the name.
        namespaced: whether objects are in namespaces.
        short_names: abbreviations that ``kubectl get`` accepts.
        categories: groups of kinds that ``kubectl get`` lists together, such as ``all``.
        columns: of ``kubectl get``.
        scale: the subresource.
        other_versions: further versions.
        storage: the version in which objects are stored; default: ``version``.
        labels: of the CRD.

    Raises:
        SchemaError: the declaration is not valid.
    """

    view: type[T]
    _: KW_ONLY
    group: str
    version: str
    name: str = ""
    plural: str = ""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[PrinterColumn, ...] = ()
    scale: Scale | None = None
    other_versions: tuple[KindVersion[Any], ...] = ()
    storage: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = self.name or self.view.__name__
        defaults = {
            "name": name,
            "plural": self.plural or _plural(name.lower()),
            "storage": self.storage or self.version,
        }
        for attribute, value in defaults.items():
            object.__setattr__(self, attribute, value)
        for problem in _problems(self):
            raise SchemaError(f"kind {self.name}: {problem}")

    @property
    def versions(self) -> tuple[KindVersion[Any], ...]:
        """All versions, that of :attr:`resource` first."""
        main = KindVersion(self.version, self.view, columns=self.columns, scale=self.scale)
        return (main, *self.other_versions)

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition: ``plural.group``."""
        return f"{self.plural}.{self.group}"

    @cached_property
    def resource(self) -> Resource[T]:
        """The Resource for clients, caches and controllers; always the same one."""
        return Resource(self.group, self.version, self.name, self.plural, self.namespaced, self.decode)

    @cached_property
    def decode(self) -> Callable[[bytes], T]:
        """The function that decodes a JSON body to a view; it raises ValueError for a body that does not fit."""
        return decoder(self.view)

    def crd(self) -> dict[str, Any]:
        """Return the CustomResourceDefinition as JSON, a new copy for each call. The schemas are generated once.

        Raises:
            SchemaError: a type has no structural schema, or a path names a field that the type does not have.
        """
        return msgspec.json.decode(self._encoded_crd, type=dict[str, Any])

    @cached_property
    def _encoded_crd(self) -> bytes:
        names = {
            "kind": self.name,
            "listKind": self.name + "List",
            "plural": self.plural,
            "singular": self.name.lower(),
            **({"shortNames": list(self.short_names)} if self.short_names else {}),
            **({"categories": list(self.categories)} if self.categories else {}),
        }
        manifest = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.crd_name,
                **({"labels": dict(self.labels)} if self.labels else {}),
            },
            "spec": {
                "group": self.group,
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "names": names,
                "versions": [_version(one, storage=one.version == self.storage) for one in self.versions],
            },
        }
        return msgspec.json.encode(manifest)


# ---- versions


def _version(version: KindVersion[Any], *, storage: bool) -> dict[str, Any]:
    from aimctl.generation.schemas import structural_schema

    schema = structural_schema(version.view)
    where = f"{version.view.__name__}, version {version.version}"
    for column in version.columns:
        _check_path(schema, column.json_path, f"{where}: column {column.name!r}")
    subresources: dict[str, Any] = {"status": {}} if "status" in schema["properties"] else {}
    if version.scale is not None:
        subresources["scale"] = version.scale.to_json()
        for path in subresources["scale"].values():
            _check_path(schema, path, f"{where}: scale")
    deprecated = (
        {"deprecated": True, "deprecationWarning": version.deprecation} if version.deprecation else {}
    )
    columns = (
        {"additionalPrinterColumns": [one.to_json() for one in version.columns]} if version.columns else {}
    )
    return {
        "name": version.version,
        "served": version.served,
        "storage": storage,
        **deprecated,
        **({"subresources": subresources} if subresources else {}),
        **columns,
        "schema": {"openAPIV3Schema": schema},
    }


def _check_path(schema: Mapping[str, Any], path: str, where: str) -> None:
    """Check that a path of plain field names exists; other JSON paths are left to the API server."""
    if not re.fullmatch(r"(\.[A-Za-z_][\w-]*)+", path) or path.startswith(".metadata."):
        return
    node: Mapping[str, Any] = schema
    for name in path[1:].split("."):
        if node.get("x-kubernetes-preserve-unknown-fields"):
            return
        fields = node.get("properties", {})
        found = fields.get(name, node.get("additionalProperties"))
        if found is None:
            raise SchemaError(
                f"{where}: path {path}: there is no field {name!r}; fields: {', '.join(fields) or 'none'}"
            )
        node = found


# ---- checks of a declaration

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_PATH = re.compile(r"\.(spec|status)(\.[A-Za-z_][\w-]*)+")
_COLUMN_TYPES = ("string", "integer", "number", "boolean", "date")


def _problems(kind: CustomKind[Any]) -> Iterator[str]:
    """Yield what is wrong with a declaration, each with the remedy."""
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]{0,62}", kind.name):
        yield f"name {kind.name!r}: use CamelCase, such as WebSite"
    if not _GROUP.fullmatch(kind.group):
        yield f"group {kind.group!r}: use a domain in lower case with a dot, such as example.org"
    if kind.group.endswith((".k8s.io", ".kubernetes.io")):
        yield f"group {kind.group!r}: it belongs to Kubernetes: use a domain of your own"
    words = {"plural": (kind.plural,), "short_names": kind.short_names, "categories": kind.categories}
    for what, values in words.items():
        for word in values:
            if not _LABEL.fullmatch(word) or len(word) > 63:
                yield f"{what} {word!r}: use at most 63 lower-case letters, digits and '-', with a letter first"
    names = [one.version for one in kind.versions]
    for one in kind.versions:
        if names.count(one.version) > 1:
            yield f"version {one.version!r} is declared twice: remove one"
        yield from _version_problems(one)
    if kind.storage not in names:
        yield f"storage {kind.storage!r}: there is no such version; versions: {', '.join(names)}"


def _version_problems(version: KindVersion[Any]) -> Iterator[str]:
    if not _VERSION.fullmatch(version.version):
        yield f"version {version.version!r}: use v1, v1beta1 or v1alpha1, with any numbers"
    if not _is_frozen(version.view):
        yield (
            f"type {version.view.__name__} is not frozen, but all readers of a cache share a view: declare it with"
            " frozen=True (msgspec, dataclass) or ConfigDict(frozen=True) (pydantic)"
        )
    yield from _column_problems(version.columns)
    for path in version.scale.to_json().values() if version.scale is not None else ():
        if not _PATH.fullmatch(path):
            yield f"scale path {path!r}: use a path of field names below .spec or .status"


def _column_problems(columns: tuple[PrinterColumn, ...]) -> Iterator[str]:
    for column in columns:
        if column.type not in _COLUMN_TYPES:
            yield f"column {column.name!r}, type {column.type!r}: use one of {', '.join(_COLUMN_TYPES)}"
        if not column.json_path.startswith("."):
            yield f"column {column.name!r}, path {column.json_path!r}: start it with a dot, such as .spec.size"


def _is_frozen(view: type) -> bool:
    """Whether instances of a class are declared as frozen; pydantic, msgspec and dataclasses each have a flag."""
    pydantic = getattr(view, "model_config", {}).get("frozen")
    struct = getattr(getattr(view, "__struct_config__", None), "frozen", None)
    dataclass_ = getattr(getattr(view, "__dataclass_params__", None), "frozen", None)
    return bool(pydantic or struct or dataclass_)


def _plural(word: str) -> str:
    """The regular English plural of a lower-case word."""
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")
