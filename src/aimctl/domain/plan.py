"""Plans: the actions of a decision, as data.

A decision is a pure function from an observation to a :class:`Plan`. The executor
(:mod:`aimctl.controllers.execution.executor`) carries plans out. It is the only code that writes to the API server for
a reconciler.

Contract:
    * Actions are carried out in order. The order is part of the decision. For example, the status that stores the
      result of a Job precedes the deletion of the Job.
    * A plan describes what is missing now. An action whose effect is already there is a mistake of the decision, except
      :class:`WriteStatus`, which is skipped if it would change nothing.
    * Reads (:class:`Get`, :class:`List`) that follow each other are made together. Then the executor observes and
      decides again with the results, before any later action. Put reads first, and plan nothing that depends on their
      results.
    * :class:`Confirm` lets the plan continue if its object is still as it was observed. Otherwise the executor observes
      and decides again.
    * A background read (:class:`ReadLog`, :class:`ReadImage`) is requested, and the plan continues. Put it first as
      well: the observation then still holds when the reader receives the request.
    * After a write other than the status, the executor observes and decides again, until a plan writes nothing more. A
      :class:`WriteStatus` or :class:`RequestSlot` that follows such a write is left to the next plan, which knows what
      the write has led to.
    * ``events`` of an action are recorded when it has changed something.
    * An action that the API server rejects does not keep later ones from being carried out. The rejection is in the
      next observation (:class:`Known`), and the executor tries the action again with increasing delays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, final

from aimctl.kubetypes import Object, ObjectKey, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.domain.events import PlannedEvent
    from aimctl.domain.images.reading import ImageQuestion
    from aimctl.domain.status_slice import StatusSlice

__all__ = [
    "Action",
    "ActionKey",
    "Apply",
    "BackgroundRead",
    "Confirm",
    "Create",
    "Delete",
    "Get",
    "Got",
    "Known",
    "List",
    "Patch",
    "Plan",
    "ReadImage",
    "ReadLog",
    "Record",
    "Rejection",
    "RequestSlot",
    "Target",
    "Write",
    "WriteStatus",
]

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]


@final
@dataclass(frozen=True, slots=True)
class Target:
    """An object as it was observed. Writes carry its UID and resourceVersion as preconditions."""

    resource: Resource[Any]
    namespace: str
    name: str
    uid: str
    resource_version: str

    @classmethod
    def of(cls, obj: Object[Any]) -> Target:
        """The object in its observed state."""
        meta = obj.meta
        return cls(obj.resource, meta.namespace, meta.name, meta.uid, meta.resource_version)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.namespace, self.name)


class ActionKey(NamedTuple):
    """Which object an action is about. Rejections are remembered under it."""

    kind: str
    namespace: str
    name: str


# ---- writes


@final
@dataclass(frozen=True, slots=True)
class Create:
    """Create an object.

    If an object of that name exists already, it is put into the cache for the next decision. If the cache does not hold
    such objects (its selector excludes it), or if the next decision plans the same creation, that is a rejection with
    the existing object.

    Attributes:
        resource: its kind.
        manifest: the whole object, with metadata.name and, if the kind is namespaced, metadata.namespace.
        events: recorded when it was created.
        inputs: what the decision depends on. They are read from the API server, and the decision is repeated, before
            the creation, because the cache may lag behind a former leader or a user.
    """

    resource: Resource[Any]
    manifest: Mapping[str, Any]
    events: tuple[PlannedEvent, ...] = ()
    inputs: tuple[Get | List, ...] = ()

    @property
    def key(self) -> ActionKey:
        """The object."""
        return _key_of(self.resource, self.manifest)

    @property
    def content(self) -> object:
        """What is wanted. A rejected action is tried at once if this changes."""
        return self.manifest


@final
@dataclass(frozen=True, slots=True)
class Apply:
    """Apply an object server-side under the reconciler's field manager.

    Attributes:
        resource: its kind.
        manifest: the fields to own. With ``metadata.resourceVersion`` the object is not overwritten if it has changed.
        events: recorded when it was applied.
    """

    resource: Resource[Any]
    manifest: Mapping[str, Any]
    events: tuple[PlannedEvent, ...] = ()

    @property
    def key(self) -> ActionKey:
        """The object."""
        return _key_of(self.resource, self.manifest)

    @property
    def content(self) -> object:
        """What is wanted. A rejected action is tried at once if this changes."""
        metadata = {
            key: value for key, value in self.manifest["metadata"].items() if key != "resourceVersion"
        }
        return {**self.manifest, "metadata": metadata}


@final
@dataclass(frozen=True, slots=True)
class Patch:
    """Merge fields into an object; null removes a field. It is not changed if it is no longer the observed one.

    Attributes:
        target: the object.
        body: the merge patch without ``metadata.resourceVersion``, which the executor adds.
        events: recorded when it was patched.
    """

    target: Target
    body: Mapping[str, Any]
    events: tuple[PlannedEvent, ...] = ()

    @property
    def key(self) -> ActionKey:
        """The object."""
        return _key_of_target(self.target)

    @property
    def content(self) -> object:
        """What is wanted. A rejected action is tried at once if this changes."""
        return (self.target.uid, self.body)


@final
@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object. It is not deleted if it is no longer the observed one.

    Attributes:
        target: the object.
        propagation: what happens to objects that it owns.
        events: recorded when the deletion was requested.
    """

    target: Target
    propagation: Propagation = "Background"
    events: tuple[PlannedEvent, ...] = ()

    @property
    def key(self) -> ActionKey:
        """The object."""
        return _key_of_target(self.target)

    @property
    def content(self) -> object:
        """What is wanted. A rejected action is tried at once if this changes."""
        return self.target.uid


@final
@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write a part of the status of the reconciled object, if that changes anything.

    Attributes:
        part: everything that the reconciler's field manager owns.
        events: recorded when something changed.
    """

    part: StatusSlice
    events: tuple[PlannedEvent, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Record:
    """Record an Event about the reconciled object."""

    event: PlannedEvent


# ---- reads


@final
@dataclass(frozen=True, slots=True)
class Get:
    """Read one object from the API server, past the cache. The cache receives the result.

    ``metadata_only`` is for objects whose content must not be read, such as Secrets.
    """

    resource: Resource[Any]
    namespace: str
    name: str
    metadata_only: bool = False


@final
@dataclass(frozen=True, slots=True)
class List:
    """Read objects of a kind from the API server, past the cache. The cache receives the results."""

    resource: Resource[Any]
    namespace: str
    label_selector: str = ""
    field_selector: str = ""


@final
@dataclass(frozen=True, slots=True)
class ReadLog:
    """Read the log of a container of a pod. The object is reconciled again when the log was read; nothing waits for it.

    Attributes:
        namespace: of the pod.
        pod: its name.
        pod_uid: its UID.
        container: whose log.
    """

    namespace: str
    pod: str
    pod_uid: str
    container: str


@final
@dataclass(frozen=True, slots=True)
class ReadImage:
    """Read the labels of a container image from its registry. The object is reconciled again when there is a result;
    nothing waits for it. The reader decides when an attempt is due, so planning this action while the answer is missing
    causes no additional reads.
    """

    question: ImageQuestion


@final
@dataclass(frozen=True, slots=True)
class Confirm:
    """Read one object from the API server and check that it is as the decision observed it.

    It precedes writes that would do harm if the cache lagged. If the object has changed, the cache receives it, the
    rest of the plan is dropped, and the object is observed again. If the operator may not read the object, the plan
    continues.

    Attributes:
        resource: its kind.
        namespace: its namespace.
        name: its name.
        resource_version: as it was observed; "" if there was no such object.
    """

    resource: Resource[Any]
    namespace: str
    name: str
    resource_version: str = ""


# ---- discovery slots


@final
@dataclass(frozen=True, slots=True)
class RequestSlot:
    """Create a discovery Job if the object has a slot for it; otherwise request one.

    Put it last. When there is a slot, the object is reconciled again.

    Attributes:
        create: the Job. Its inputs are read when there is a slot.
        since: since when it waits, RFC 3339; "" for the creation of the object.
        timeout_seconds: time limit of the creation, for the client and for the API server.
    """

    create: Create
    since: str = ""
    timeout_seconds: float = 4.0


BackgroundRead: TypeAlias = ReadLog | ReadImage
Write: TypeAlias = Create | Apply | Patch | Delete
Action: TypeAlias = Write | WriteStatus | Record | Get | List | Confirm | BackgroundRead | RequestSlot


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about one object.

    Attributes:
        actions: in this order.
        requeue_after: seconds after which the decision may be another one although no event arrives; None for never.
    """

    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None

    def of_type(self, *types: type) -> Sequence[Any]:
        """The actions of these types, in order."""
        return [action for action in self.actions if isinstance(action, types)]

    @property
    def writes(self) -> Sequence[Write]:
        """The writes other than of the status, in order, with those that need a slot."""
        actions = (action.create if isinstance(action, RequestSlot) else action for action in self.actions)
        return [action for action in actions if isinstance(action, Create | Apply | Patch | Delete)]


# ---- what a decision knows besides the cache


@final
@dataclass(frozen=True, slots=True)
class Rejection:
    """The API server did not carry out an action.

    Attributes:
        message: what it answered.
        existing: for :class:`Create`, the object that has the name, if that is the reason.
        temporary: whether the server could not decide, because a webhook did not answer.
    """

    message: str
    existing: Object[Any] | None = None
    temporary: bool = False


@final
@dataclass(frozen=True, slots=True)
class Got:
    """What a read gave.

    Attributes:
        objects: what was found; empty when the object of a :class:`Get` does not exist.
        forbidden: whether the operator may not read it.
    """

    objects: tuple[Object[Any], ...] = ()
    forbidden: bool = False

    @property
    def object(self) -> Object[Any] | None:
        """The object of a :class:`Get`."""
        return self.objects[0] if self.objects else None


@final
@dataclass(frozen=True, slots=True)
class Known:
    """What the executor knows about an object besides the cache.

    Attributes:
        rejections: of its actions, the latest of each, until the action succeeds or is no longer planned.
        reads: the results of the reads of this reconcile.
        responses: the API server's responses to the writes of this reconcile, the latest of each object: the objects as
            they were stored. Deletions have none.
    """

    rejections: Mapping[ActionKey, Rejection] = field(default_factory=dict)
    reads: Mapping[Get | List, Got] = field(default_factory=dict)
    responses: Mapping[ActionKey, Object[Any]] = field(default_factory=dict)

    def rejection(self, resource: Resource[Any], namespace: str, name: str) -> Rejection | None:
        """Why an action about this object was rejected; None when it was not."""
        return self.rejections.get(ActionKey(resource.kind, namespace, name))

    def response(self, resource: Resource[Any], namespace: str, name: str) -> Object[Any] | None:
        """What the API server stored when this reconcile wrote the object; None if it has not written it."""
        return self.responses.get(ActionKey(resource.kind, namespace, name))


def _key_of(resource: Resource[Any], manifest: Mapping[str, Any]) -> ActionKey:
    metadata = manifest["metadata"]
    return ActionKey(resource.kind, metadata.get("namespace", ""), metadata["name"])


def _key_of_target(target: Target) -> ActionKey:
    return ActionKey(target.resource.kind, target.namespace, target.name)
