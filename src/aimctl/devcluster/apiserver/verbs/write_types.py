"""What describes a write: its target, options and outcome, and the hooks that admission adds.

Invariant: targets, options and outcomes are immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, final

from aimctl.devcluster.storage.records import Record, object_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.verbs.bodies import FieldValidation

__all__ = ["Admission", "AdmissionWebhooks", "Target", "VersionConversions", "WriteOptions", "Written"]


@final
@dataclass(frozen=True, slots=True)
class WriteOptions:
    """``metav1.CreateOptions``, ``UpdateOptions`` or ``PatchOptions``.

    Attributes:
        manager: the field manager.
        validation: how unknown fields are handled.
        dry_run: do not store the result.
        force: take over fields of other managers (apply only).
        duplicates: texts about keys that the body has more than once, which strict validation rejects.
    """

    manager: str = "unknown"
    validation: FieldValidation = "Warn"
    dry_run: bool = False
    force: bool = False
    duplicates: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Target:
    """The object that a request refers to."""

    kind: ServedKind
    namespace: str
    name: str
    subresource: str = ""

    @property
    def key(self) -> str:
        """The key in the kind's collection."""
        return object_key(self.namespace, self.name)


@final
@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write.

    Attributes:
        record: the object after the write, or as it would be after a dry run.
        created: whether the object is new.
        warnings: texts of Warning headers.
    """

    record: Record
    created: bool = False
    warnings: list[str] = field(default_factory=list)


class Admission(Protocol):
    """A hook that is called for every create and update before the validation."""

    def admit(
        self, kind: ServedKind, new: dict[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        """Handle one write. May change ``new`` or raise StatusError; ``old`` is None on a creation."""
        ...


class AdmissionWebhooks(Protocol):
    """Sends writes to programs outside the server. Each method may raise StatusError, or end the write to repeat it."""

    def mutate(
        self, kind: ServedKind, new: dict[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        """Handle a write before the validation. May change ``new``."""
        ...

    def validate(
        self, kind: ServedKind, new: Mapping[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        """Handle a valid write."""
        ...

    def delete(self, kind: ServedKind, old: Mapping[str, Any], *, named: bool, dry_run: bool) -> None:
        """Handle a deletion of an object that the request names, or of one of a collection."""
        ...


class VersionConversions(Protocol):
    """Converts objects between versions. Each method may raise StatusError, or end the write to repeat it."""

    def stored(self, kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
        """A written object in the storage version of the kind. May change ``obj``."""
        ...

    def expect(self, kind: ServedKind, stored: dict[str, Any]) -> None:
        """Prepare the conversion of an object that is going to be stored, for the response."""
        ...

    def object(self, kind: ServedKind, record: Record) -> dict[str, Any]:
        """A decoded copy of a stored object in the version of the kind, for an update."""
        ...

    def record(self, kind: ServedKind, record: Record) -> Record:
        """A stored object in the version of the kind."""
        ...

    def listed(self, kind: ServedKind, records: Iterable[Record]) -> list[Record]:
        """Objects of a list in the version of the kind."""
        ...

    async def watched(self, kind: ServedKind, records: Iterable[Record]) -> list[Record]:
        """Objects of a watch in the version of the kind."""
        ...
