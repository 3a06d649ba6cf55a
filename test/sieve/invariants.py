"""What must be true after every write, whatever the manager has been through.

Contract: :class:`Invariants` is called within every write of the storage, and before every write of a manager reaches
the server. Violations are collected, with the time. The rules are:
    * Unfinished discovery Jobs never exceed the limit, and no two of them have the same input.
    * Discovery runs once for each input of a template that exists, unless the manager may see an old model.
    * A discovery Job is created for the present input of its template, unless the manager may see an old state.
    * ``observedGeneration`` never exceeds the generation and never decreases. The time of a transition never decreases
      and changes only with the status of its condition. So a status is never replaced with one that was decided from
      an older one.
    * A template is never Ready without model sources, and one with caching never without complete caches of them.
    * A model cache is Available only if its volume holds the whole source. So is every model cache that an Available
      template cache lists.
    * At most one download writes to a volume: one Job, and the pods of one Job.
    * The operator deletes nothing that is Available or in use, and no unfinished discovery Job that is wanted.
    * A service that wants a derived template remains one of its owners.
    * What the operator creates for an object has an owner reference to that object, which exists at that moment, or has
      existed if the manager may see an old state.
    * Every write, except those of the Lease and of Events, is sent by the holder of the Lease, if there is one.
    * Writes end: a run has fewer than :data:`MOST_WRITES`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from sieve.bodies import (
    TEMPLATES,
    claim_of,
    discovers,
    discovery_input,
    finished,
    of_user,
    owner_uids,
    state_of,
    wants,
)
from sieve.link import plural_of
from sieve.observed import Key
from sieve.scenarios import SIZES
from sieve.settled import settled_problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.runtime.kube.transport import HttpRequest
    from sieve.observed import Body, Change, Observed
    from support.operator import World

__all__ = ["Invariants"]

_OURS = frozenset(
    {*TEMPLATES, "aimmodels", "aimclustermodels", "aimservices", "aimtemplatecaches", "aimmodelcaches"}
)
_OWNED = frozenset({"jobs", "persistentvolumeclaims", "inferenceservices"})
MOST_WRITES = 3000
"""Writes of managers. The longest scenario has about 200."""
_MOST_PROBLEMS = 20


class Invariants:
    """Collects violations in :attr:`problems`.

    Args:
        w: the world.
        observed: its objects.
        limit: unfinished discovery Jobs at once.
        holder: the identity of the manager that holds the Lease; None if there is no Lease.
        found: called at each violation.
    """

    def __init__(
        self,
        w: World,
        observed: Observed,
        *,
        limit: int,
        holder: Callable[[], str] | None,
        found: Callable[[], object],
    ) -> None:
        self._w, self._observed, self._limit, self._holder, self._found = w, observed, limit, holder, found
        self.problems: list[str] = []
        self.stale = False
        """Whether the manager may see an old state. It may then create objects for an owner that was deleted, which the
        garbage collector deletes again."""
        self.old_inputs = False
        """Whether the manager may see an old model, whose input it discovers again unless that Job still exists."""
        self.jobs: Counter[str] = Counter()
        """Created Jobs by the input of the discovery, or the volume of the download."""
        self._writes = 0
        observed.listeners.append(self._changed)

    # ---- every write of the storage

    def _changed(self, change: Change) -> None:
        key, before, after = change.key, change.before, change.after
        if key.plural == "jobs":
            self._job_changed(key, before, after)
        if key.plural == "pods" and after is not None:
            self._check_pods(after)
        if after is None:
            return
        if before is None and key.plural in _OWNED and not of_user(after):
            self._check_owner(key, after)
        if key.plural in _OURS:
            self._check_generation(key, after)
            if before is not None and before["metadata"]["uid"] == after["metadata"]["uid"]:
                self._check_progress(key, before, after)
            state = state_of(after)
            if state != state_of(before):
                self._check_state(key, after, state)
        if key.plural in TEMPLATES and before is not None:
            self._check_owners_kept(key, before, after)

    def _job_changed(self, key: Key, before: Body | None, after: Body | None) -> None:
        if after is None:
            return
        if before is None:
            input_ = discovery_input(after)
            self.jobs[input_] += 1
            if discovers(after) and self.jobs[input_] > 1 and not self.old_inputs and self._owned(after):
                self.report(f"{key} is discovery number {self.jobs[input_]} of the same input")
            if discovers(after) and not self.stale:
                self._check_input(key, after)
        unfinished = [job for _, job in self._observed.of("jobs") if not finished(job)]
        discovering = [job for job in unfinished if discovers(job)]
        if len(discovering) > self._limit:
            self.report(f"{len(discovering)} discovery Jobs are unfinished; the limit is {self._limit}")
        volumes = Counter(claim_of(job) for job in unfinished if not discovers(job))
        volumes.pop("", None)
        if any(count > 1 for count in volumes.values()):
            self.report(f"several downloads run for the same volume: {dict(volumes)}")

    def _check_pods(self, after: Body) -> None:
        """At most one Job has pods that may write to the claim of this pod."""
        if not (claim := claim_of(after)):
            return
        writers = {
            owner["uid"]
            for _, pod in self._observed.of("pods")
            if claim_of(pod) == claim and (pod.get("status") or {}).get("phase") in ("Pending", "Running")
            for owner in pod["metadata"].get("ownerReferences") or ()
            if owner["kind"] == "Job"
        }
        if len(writers) > 1:
            self.report(f"pods of {len(writers)} Jobs may write to {claim}")

    def _check_input(self, key: Key, job: Body) -> None:
        """A Job is that of the present spec of its template, and of the present image of its model."""
        name, template = self._template_of(job)
        if template is not None and not self._is_input_of(name, template, job):
            self.report(f"{key} was created for another input than that of {name}")

    def _template_of(self, job: Body) -> tuple[Key, Body | None]:
        """The template that owns a Job, if it exists."""
        for plural in TEMPLATES:
            for name, template in self._observed.of(plural):
                if template["metadata"]["uid"] in owner_uids(job):
                    return name, template
        return Key("", "", ""), None

    def _is_input_of(self, name: Key, template: Body, job: Body) -> bool:
        """Whether a Job has the present input of a template."""
        spec, container = template["spec"], job["spec"]["template"]["spec"]["containers"][0]
        models = (
            self._observed.objects.get(Key("aimmodels", name.namespace, spec["modelName"])),
            self._observed.objects.get(Key("aimclustermodels", "", spec["modelName"])),
        )
        model, env = next(filter(None, models), None), container.get("env") or []
        return all(item in env for item in spec.get("env") or ()) and (
            model is not None and model["spec"]["image"] == container["image"]
        )

    def _check_owner(self, key: Key, body: Body) -> None:
        if not (owner_uids(body) & self._observed.uids if self.stale else self._owned(body)):
            self.report(f"{key} was created without an owner that exists")

    def _check_owners_kept(self, key: Key, before: Body, after: Body) -> None:
        removed = owner_uids(before) - owner_uids(after)
        for name, service in self._observed.of("aimservices"):
            if service["metadata"]["uid"] in removed and wants(service, after):
                self.report(f"{name} wants {key}, and was removed from its owners")

    def _check_generation(self, key: Key, body: Body) -> None:
        status = body.get("status") or {}
        observed = [status.get("observedGeneration", 0)]
        observed += [item.get("observedGeneration", 0) for item in status.get("conditions") or ()]
        if max(observed) > body["metadata"]["generation"]:
            self.report(f"{key} has a status of a later generation")

    def _check_progress(self, key: Key, before: Body, after: Body) -> None:
        """The status is not older than the one before."""
        old, new = before.get("status") or {}, after.get("status") or {}
        if new.get("observedGeneration", 0) < old.get("observedGeneration", 0):
            self.report(f"{key} has a status of an earlier generation than before")
        known = {item["type"]: item for item in old.get("conditions") or ()}
        for item in new.get("conditions") or ():
            if (earlier := known.get(item["type"])) is None:
                continue
            since, now = earlier.get("lastTransitionTime", ""), item.get("lastTransitionTime", "")
            if now < since or (item["status"] == earlier["status"] and now != since):
                self.report(f"{key} has {item['type']}={item['status']} since {now}, before since {since}")

    def _check_state(self, key: Key, body: Body, state: str) -> None:
        status = body.get("status") or {}
        if key.plural in TEMPLATES and state == "Ready":
            if not status.get("modelSources"):
                self.report(f"{key} is Ready without model sources")
            if (body["spec"].get("caching") or {}).get("enabled"):
                self._check_warm(key, status.get("modelSources") or ())
        if key.plural == "aimmodelcaches" and state == "Available":
            self._check_complete(key, body)
        if key.plural == "aimtemplatecaches" and state == "Available":
            if not status.get("models"):
                self.report(f"{key} is Available without model caches")
            for item in status.get("models") or ():
                cache = Key("aimmodelcaches", key.namespace, item["modelCache"])
                if cache in self._observed.objects:
                    self._check_complete(cache, self._observed.objects[cache])

    def _check_warm(self, key: Key, sources: Any) -> None:
        """The sources of a template are in caches of its namespace."""
        cached = {
            body["spec"]["sourceURI"]
            for cache, body in self._observed.of("aimmodelcaches")
            if cache.namespace == key.namespace and state_of(body) == "Available"
        }
        for item in sources:
            if item["sourceURI"] not in cached:
                self.report(f"{key} is Ready, and {item['sourceURI']} is not in a cache")

    def _check_complete(self, key: Key, body: Body) -> None:
        source = body["spec"]["sourceURI"]
        volume = ((body.get("status") or {}).get("completed") or {}).get("volumeUid", "")
        held = self._w.simulation.downloads.held_bytes(volume, source)
        if held != SIZES[source] * 1024**3:
            self.report(f"{key} is Available with {held} bytes of {source}")

    def _owned(self, body: Body) -> bool:
        """Whether an owner exists."""
        owners = owner_uids(body)
        return any(each["metadata"]["uid"] in owners for each in self._observed.objects.values())

    # ---- every write of a manager

    def before_write(self, identity: str, request: HttpRequest) -> None:
        """Check a write that is about to reach the server."""
        self._writes += 1
        if self._writes == MOST_WRITES:
            self.report(f"the managers have sent {MOST_WRITES} writes")
        if self._holder is not None and plural_of(request.path) not in ("leases", "events"):
            holder = self._holder()
            if holder != identity:
                self.report(f"{identity} writes {request.path} while {holder!r} holds the Lease")
        if request.method == "DELETE":
            self._check_deletion(_key(request.path), request)

    def _check_deletion(self, key: Key, request: HttpRequest) -> None:
        body = self._observed.objects.get(key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return
        options = msgspec.json.decode(request.body) if request.body else {}
        for name, value in (options.get("preconditions") or {}).items():
            if value != body["metadata"][name]:
                return  # the server rejects it
        if key.plural == "aimmodelcaches":
            self._check_unused(key, body)
        if key.plural == "jobs" and discovers(body) and not finished(body) and self._wanted(body):
            self.report(f"the operator deletes {key}, which is unfinished and wanted")
        if key.plural in TEMPLATES and (users := self._users_of(body)):
            self.report(f"the operator deletes {key}, which {users} use")
        if key.plural == "persistentvolumeclaims":
            self.report(f"the operator deletes {key}")

    def _check_unused(self, key: Key, body: Body) -> None:
        if state_of(body) == "Available":
            self.report(f"the operator deletes {key}, which is Available")
        for user, cache in self._observed.of("aimtemplatecaches"):
            models = (cache.get("status") or {}).get("models") or ()
            live = not cache["metadata"].get("deletionTimestamp")
            if (
                live
                and user.namespace == key.namespace
                and key.name in [item["modelCache"] for item in models]
            ):
                self.report(f"the operator deletes {key}, which {user} lists")

    def _wanted(self, job: Body) -> bool:
        """Whether a Job has the present input of a template that is not being deleted. Not if the manager may see an
        old state, in which the input is another one."""
        name, template = self._template_of(job)
        return (
            template is not None
            and not self.stale
            and not template["metadata"].get("deletionTimestamp")
            and self._is_input_of(name, template, job)
        )

    def _users_of(self, template: Body) -> list[str]:
        """The services that own a derived template, and whose overrides are those of its spec."""
        return [
            str(key)
            for key, service in self._observed.of("aimservices")
            if service["metadata"]["uid"] in owner_uids(template) and wants(service, template)
        ]

    # ---- when nothing changes any more

    def check_settled(self) -> None:
        """Check what must be true once nothing changes any more."""
        for problem in settled_problems(self._observed.objects):
            self.report(problem)

    def report(self, text: str) -> None:
        """Add a violation."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"at {self._w.now:.3f} s: {text}")
        self._found()


def _key(path: str) -> Key:
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    return Key(rest[0], namespace, rest[1] if len(rest) > 1 else "")
