"""What must be true after every write, whatever the manager has been through.

Contract: :class:`Invariants` is called within every write of the storage, and before every write of a manager reaches
the server. Violations are collected, with the time and the object. The rules are:
    * Unfinished discovery Jobs never exceed the limit, and no two of them have the same input.
    * Discovery runs once for each input of a template that exists, unless the manager may see an old model.
    * ``observedGeneration`` never exceeds the generation.
    * A template is never Ready without model sources.
    * A model cache is Available only if its volume holds the whole source. So is every model cache that an Available
      template cache lists.
    * At most one download runs for a volume.
    * The operator deletes nothing that is Available or in use, and no unfinished discovery Job.
    * What the operator creates for an object has an owner reference to that object, which exists at that moment, or has
      existed if the manager may see an old state.
    * Every write, except those of the Lease and of Events, is sent by the holder of the Lease, if there is one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from sieve.link import plural_of
from sieve.observed import Key
from sieve.scenarios import SIZES
from support.ledger import OPERATOR_NAMESPACE
from support.operator import LEASE

if TYPE_CHECKING:
    from aimctl.runtime.kube.transport import HttpRequest
    from sieve.observed import Body, Change, Observed
    from support.operator import World

__all__ = ["Invariants"]

_TEMPLATES = frozenset({"aimservicetemplates", "aimclusterservicetemplates"})
_OURS = frozenset(
    {*_TEMPLATES, "aimmodels", "aimclustermodels", "aimservices", "aimtemplatecaches", "aimmodelcaches"}
)
_OWNED = frozenset({"jobs", "persistentvolumeclaims", "inferenceservices"})
_DERIVED = "aim.silogen.ai/derived-template"
_MOST_PROBLEMS = 20


class Invariants:
    """Collects violations in :attr:`problems`.

    Args:
        w: the world.
        observed: its objects.
        limit: unfinished discovery Jobs at once.
        elected: whether the managers have a Lease.
    """

    def __init__(self, w: World, observed: Observed, *, limit: int, elected: bool) -> None:
        self._w, self._observed, self._limit, self._elected = w, observed, limit, elected
        self.problems: list[str] = []
        self.stale = False
        """Whether the manager may see an old state. It may then create objects for an owner that was deleted, which the
        garbage collector deletes again."""
        self.old_inputs = False
        """Whether the manager may see an old model, whose input it discovers again unless that Job still exists."""
        self.jobs: Counter[str] = Counter()
        """Created Jobs by the input of the discovery, or the volume of the download."""
        observed.listeners.append(self._changed)

    # ---- every write of the storage

    def _changed(self, change: Change) -> None:
        key, before, after = change.key, change.before, change.after
        if key.plural == "jobs":
            self._job_changed(key, before, after)
        if after is None:
            return
        if before is None and key.plural in _OWNED and not key.name.startswith("foreign-"):
            self._check_owner(key, after)
        if key.plural in _OURS:
            self._check_generation(key, after)
            state = _state(after)
            if state != _state(before):
                self._check_state(key, after, state)

    def _job_changed(self, key: Key, before: Body | None, after: Body | None) -> None:
        if after is None:
            return
        if before is None:
            self.jobs[_input(after)] += 1
            again = _discovers(after) and self.jobs[_input(after)] > 1
            if again and not self.old_inputs and self._owned(after):
                self._report(f"{key} is discovery number {self.jobs[_input(after)]} of the same input")
        unfinished = [job for _, job in self._observed.of("jobs") if not _finished(job)]
        discovering = [job for job in unfinished if _discovers(job)]
        if len(discovering) > self._limit:
            self._report(f"{len(discovering)} discovery Jobs are unfinished; the limit is {self._limit}")
        volumes = Counter(_volume(job) for job in unfinished if not _discovers(job))
        volumes.pop("", None)
        if any(count > 1 for count in volumes.values()):
            self._report(f"several downloads run for the same volume: {dict(volumes)}")

    def _check_owner(self, key: Key, body: Body) -> None:
        owners = {item["uid"] for item in body["metadata"].get("ownerReferences") or ()}
        if not (owners & self._observed.uids if self.stale else self._owned(body)):
            self._report(f"{key} was created without an owner that exists")

    def _check_generation(self, key: Key, body: Body) -> None:
        status = body.get("status") or {}
        observed = [status.get("observedGeneration", 0)]
        observed += [item.get("observedGeneration", 0) for item in status.get("conditions") or ()]
        if max(observed) > body["metadata"]["generation"]:
            self._report(f"{key} has a status of a later generation")

    def _check_state(self, key: Key, body: Body, state: str) -> None:
        status = body.get("status") or {}
        if key.plural in _TEMPLATES and state == "Ready" and not status.get("modelSources"):
            self._report(f"{key} is Ready without model sources")
        if key.plural == "aimmodelcaches" and state == "Available":
            self._check_complete(key, body)
        if key.plural == "aimtemplatecaches" and state == "Available":
            if not status.get("models"):
                self._report(f"{key} is Available without model caches")
            for item in status.get("models") or ():
                cache = Key("aimmodelcaches", key.namespace, item["modelCache"])
                if cache in self._observed.objects:
                    self._check_complete(cache, self._observed.objects[cache])

    def _check_complete(self, key: Key, body: Body) -> None:
        source = body["spec"]["sourceURI"]
        volume = ((body.get("status") or {}).get("completed") or {}).get("volumeUid", "")
        held = self._w.simulation.downloads.held_bytes(volume, source)
        if held != SIZES[source] * 1024**3:
            self._report(f"{key} is Available with {held} bytes of {source}")

    def _owned(self, body: Body) -> bool:
        """Whether an owner exists."""
        owners = {item["uid"] for item in body["metadata"].get("ownerReferences") or ()}
        return any(each["metadata"]["uid"] in owners for each in self._observed.objects.values())

    # ---- every write of a manager

    def before_write(self, identity: str, request: HttpRequest) -> None:
        """Check a write that is about to reach the server."""
        plural = plural_of(request.path)
        if self._elected and plural not in ("leases", "events"):
            lease = self._observed.objects.get(Key("leases", OPERATOR_NAMESPACE, LEASE))
            holder = ((lease or {}).get("spec") or {}).get("holderIdentity")
            if holder != identity:
                self._report(f"{identity} writes {request.path} while {holder!r} holds the Lease")
        if request.method == "DELETE":
            self._check_deletion(_key(request.path), request)

    def _check_deletion(self, key: Key, request: HttpRequest) -> None:
        body = self._observed.objects.get(key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return
        options = msgspec.json.decode(request.body) if request.body else {}
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted is not None and wanted != body["metadata"]["uid"]:
            return  # the server rejects it
        if key.plural == "aimmodelcaches":
            self._check_unused(key, body)
        if key.plural == "jobs" and _discovers(body) and not _finished(body) and self._wanted(body):
            self._report(f"the operator deletes {key}, which is unfinished and wanted")
        if key.plural in _TEMPLATES and (users := self._users_of(body)):
            self._report(f"the operator deletes {key}, which {users} use")
        if key.plural == "persistentvolumeclaims":
            self._report(f"the operator deletes {key}")

    def _check_unused(self, key: Key, body: Body) -> None:
        if _state(body) == "Available":
            self._report(f"the operator deletes {key}, which is Available")
        for user, cache in self._observed.of("aimtemplatecaches"):
            models = (cache.get("status") or {}).get("models") or ()
            live = not cache["metadata"].get("deletionTimestamp")
            if (
                live
                and user.namespace == key.namespace
                and key.name in [item["modelCache"] for item in models]
            ):
                self._report(f"the operator deletes {key}, which {user} lists")

    def _wanted(self, job: Body) -> bool:
        """Whether the template of a Job exists and has the generation of its last status."""
        owners = {item["uid"] for item in job["metadata"].get("ownerReferences") or ()}
        for plural in _TEMPLATES:
            for _, template in self._observed.of(plural):
                if template["metadata"]["uid"] in owners and not template["metadata"].get(
                    "deletionTimestamp"
                ):
                    started = ((template.get("status") or {}).get("discovery") or {}).get("job", "")
                    return bool(started == job["metadata"]["name"])
        return False

    def _users_of(self, template: Body) -> list[str]:
        """The services that own a derived template, and whose overrides are those of its spec."""
        owners = {item["uid"] for item in template["metadata"].get("ownerReferences") or ()}
        return [
            str(key)
            for key, service in self._observed.of("aimservices")
            if service["metadata"]["uid"] in owners
            and not service["metadata"].get("deletionTimestamp")
            and _wants(service, template)
        ]

    # ---- the end

    def check_end(self) -> None:
        """Check what must be true once nothing changes any more."""
        for key, body in self._observed.objects.items():
            derived = (body["metadata"].get("labels") or {}).get(_DERIVED) == "true"
            if key.plural in _TEMPLATES and derived and not self._owned(body):
                self._report(f"{key} is derived and has no owner")

    def _report(self, text: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"at {self._w.now:.3f} s: {text}")


def _key(path: str) -> Key:
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    return Key(rest[0], namespace, rest[1] if len(rest) > 1 else "")


def _state(body: Body | None) -> str:
    return str(((body or {}).get("status") or {}).get("status", ""))


def _wants(service: Body, template: Body) -> bool:
    """Whether the overrides of a service are in the spec of a template."""
    overrides = service["spec"].get("overrides") or {}
    return bool(overrides) and all(template["spec"].get(name) == value for name, value in overrides.items())


def _finished(job: Body) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(item["type"] in ("Complete", "Failed") and item["status"] == "True" for item in conditions)


def _discovers(job: Body) -> bool:
    owners = job["metadata"].get("ownerReferences") or ()
    return any(item["kind"] in ("AIMServiceTemplate", "AIMClusterServiceTemplate") for item in owners)


def _input(job: Body) -> str:
    """What determines the result of a Job: its owner, its name and its pod."""
    owner = (job["metadata"].get("ownerReferences") or [{}])[0].get("uid", "")
    containers: Any = job["spec"]["template"]["spec"]["containers"]
    return f"{owner} {job['metadata']['name']} {msgspec.json.encode(containers).decode()}"


def _volume(job: Body) -> str:
    volumes = job["spec"]["template"]["spec"].get("volumes") or ()
    claims = [
        item["persistentVolumeClaim"]["claimName"] for item in volumes if "persistentVolumeClaim" in item
    ]
    return f"{job['metadata']['namespace']}/{claims[0]}" if claims else ""
