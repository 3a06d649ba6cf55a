"""Small defects of the operator and of the library, each of which the patterns must detect.

Contract: a mutant replaces one text of a module, which must occur there exactly once; otherwise the table is out of date
and ``make mutants`` fails. ``scenario`` is the one that is searched first.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MUTANTS", "Mutant"]


class Mutant(NamedTuple):
    """A defect.

    Attributes:
        name: unique.
        breaks: what no longer holds.
        scenario: the scenario in which it is probably detected.
        file: the module, relative to ``src/aimctl``.
        old: a text of the module.
        new: what replaces it.
        first: the disturbances that are tried first, as in ``stale-takeover/jobs``.
    """

    name: str
    breaks: str
    scenario: str
    file: str
    old: str
    new: str
    first: str = ""


_SLOTS = "controllers/templates/slots.py"
_ADMISSION = "controllers/templates/admission.py"
_OWNERS = "controllers/templates/job_owners.py"
_DISCOVERY = "domain/templates/discovery_decision.py"
_DOWNLOAD = "domain/caching/download_decision.py"
_MODEL_CACHE = "domain/caching/model_cache.py"
_TEMPLATE_CACHE = "domain/caching/template_cache_decision.py"
_SOURCES = "domain/caching/template_cache_sources.py"
_DERIVATION = "domain/services/derivation/decision.py"
_PLAN_RUN = "controllers/execution/plan_run.py"
_STORE = "runtime/cache/storage/store.py"
_MERGE = "runtime/cache/storage/merge.py"
_QUEUE = "runtime/queue/workqueue.py"
_ELECTION = "runtime/manager/leaderelection/election.py"

MUTANTS: tuple[Mutant, ...] = (
    # ---- the limit of discovery Jobs
    Mutant(
        "admit limit + 1",
        "the limit",
        "discovery",
        "domain/templates/admission.py",
        "limit - sum(running.values()))",
        "limit + 1 - sum(running.values()))",
    ),
    Mutant(
        "count Jobs by label",
        "Jobs of others take no slot",
        "discovery",
        _OWNERS,
        "        if request is None:\n            return False\n        uid = ",
        "        if request is None:\n            return True\n        uid = ",
    ),
    Mutant(
        "count no Jobs of cluster templates",
        "the limit",
        "discovery",
        _OWNERS,
        'return Request("", owner.name)',
        "return None",
    ),
    Mutant(
        "do not list the Jobs of a former leader",
        "the limit when another manager takes over",
        "discovery",
        _SLOTS,
        "        if self._counted:\n            return",
        "        if not self._counted:\n            return",
        first="stale-takeover/jobs",
    ),
    Mutant(
        "list the Jobs of a former leader without keeping them",
        "the limit when another manager takes over",
        "discovery",
        _SLOTS,
        "                self._cache.observe_write(job)\n                self._owners.inherit(job)",
        "                self._owners.inherit(job)",
        first="stale-takeover/jobs",
    ),
    Mutant(
        "forget a slot during the creation",
        "the limit while a response is outstanding",
        "discovery",
        _SLOTS,
        "            if not self._arrived(key):\n                shares[slot.share] += 1",
        "            if not self._arrived(key):\n                shares[slot.share] += 0",
        first="lost-response",
    ),
    Mutant(
        "free the slot of a lost response",
        "the limit while a response is outstanding",
        "discovery",
        "controllers/execution/rejections.py",
        "            return not error.refused\n",
        "            return False\n",
        first="lost-response",
    ),
    Mutant(
        "never look up a Job whose creation had no response",
        "the slot of a Job that was not created is free again",
        "discovery",
        _SLOTS,
        "            elif slot.check_at <= self._clock.monotonic():",
        "            elif slot.check_at <= self._clock.monotonic() and slot.check_at < 0:",
        first="lost-request",
    ),
    Mutant(
        "keep the slot after the creation",
        "a slot is free when its Job has ended",
        "discovery",
        _SLOTS,
        "        arrived = self._arrived(key)\n        del self._assigned[key]",
        "        arrived = self._arrived(key)\n        self._assigned[key]",
    ),
    Mutant(
        "the end of a Job starts no round",
        "a free slot is assigned",
        "discovery",
        _ADMISSION,
        "return new.view.finished and not old.view.finished",
        "return False",
    ),
    Mutant(
        "release the slot of a creation whose result is not known",
        "the limit while a response is outstanding",
        "discovery",
        _SLOTS,
        "        slot = self._assigned.get(key)\n        if slot is None or slot.check_at < math.inf:\n            return None\n"
        "        arrived",
        "        slot = self._assigned.get(key)\n        if slot is None:\n            return None\n        arrived",
        first="lost-response",
    ),
    Mutant(
        "create a Job without a slot",
        "the limit",
        "discovery",
        _SLOTS,
        "        if not self.holds(key):\n            return False\n",
        "        if not self.holds(key):\n            return True\n",
    ),
    Mutant(
        "do not read the input again before a Job is created",
        "discovery once per input",
        "discovery",
        _PLAN_RUN,
        "for each in create.inputs])",
        "for each in create.inputs[:0]])",
        first="stale-takeover/aimservicetemplates",
    ),
    # ---- discovery
    Mutant(
        "trust the result of another input",
        "a changed input is discovered",
        "discovery",
        _DISCOVERY,
        "records.result is not None and records.result.input_hash == input_.hash",
        "records.result is not None",
    ),
    Mutant(
        "discover again without a Job",
        "discovery once per input",
        "discovery",
        _DISCOVERY,
        "if last.sources and records.result is not None and",
        "if last.sources and seen.jobs and records.result is not None and",
    ),
    Mutant(
        "leave the owner out of discovery Jobs",
        "owner references",
        "discovery",
        "domain/templates/discovery_job.py",
        '"ownerReferences": [owner_reference(template)],',
        '"ownerReferences": [],',
    ),
    Mutant(
        "do not stop the Job of a changed input",
        "no Job occupies a slot without need",
        "discovery",
        _DISCOVERY,
        "job.delete() for job in seen.jobs if job.name != keep and not job.finished and not job.deleting",
        "job.delete() for job in seen.jobs if job.name == keep and not job.finished and not job.deleting",
    ),
    Mutant(
        "Ready without sources",
        "a Ready template has model sources",
        "discovery",
        "domain/templates/discovery_report.py",
        "        fields: dict[str, Any] = {}\n        if self.sources:",
        "        fields: dict[str, Any] = {}\n        if len(self.sources) > 1:",
    ),
    Mutant(
        "forget observedGeneration",
        "observedGeneration is the observed one",
        "discovery",
        "domain/templates/decision.py",
        '"observedGeneration": generation,',
        '"observedGeneration": seen.view.status.observed_generation or generation,',
    ),
    Mutant(
        "report the next generation",
        "observedGeneration is at most the generation",
        "services",
        "domain/services/decision.py",
        '"observedGeneration": service.obj.meta.generation,',
        '"observedGeneration": service.obj.meta.generation + 1,',
    ),
    # ---- caching
    Mutant(
        "accept failed downloads",
        "Available means verified",
        "caching",
        _DOWNLOAD,
        "return job.job.view.complete or",
        "return job.finished or",
    ),
    Mutant(
        "trust the data of a former volume",
        "Available means verified",
        "caching",
        _DOWNLOAD,
        "if completed is not None and completed.volume_uid == self._volume_uid:",
        "if completed is not None:",
    ),
    Mutant(
        "Available when one source is",
        "Available means verified",
        "caching",
        _TEMPLATE_CACHE,
        "    if done == len(each):",
        "    if done:",
    ),
    Mutant(
        "start a download beside another one",
        "one download for each volume",
        "caching",
        _DOWNLOAD,
        "        writer = self._other_writer()\n",
        '        writer = ""\n',
    ),
    Mutant(
        "count failed attempts twice",
        "an attempt is counted once",
        "caching",
        _DOWNLOAD,
        "failures = seen.status.failed_downloads + 1",
        "failures = seen.status.failed_downloads + 2",
    ),
    Mutant(
        "leave the owner out of claims and downloads",
        "owner references",
        "caching",
        "domain/caching/download_job.py",
        '"ownerReferences": [owner_reference(cache)],',
        '"ownerReferences": [],',
    ),
    Mutant(
        "leave the owner out of template caches",
        "a template cache is deleted with its template",
        "caching",
        "domain/caching/template_cache.py",
        '"ownerReferences": [owner],',
        '"ownerReferences": [],',
    ),
    Mutant(
        "delete unused caches that are complete",
        "nothing Available is deleted",
        "caching",
        _MODEL_CACHE,
        "if not is_managed(seen.cache) or seen.in_use or _may_be_complete(seen, download):",
        "if not is_managed(seen.cache) or seen.in_use:",
    ),
    Mutant(
        "do not read the users before a cache is deleted",
        "nothing in use is deleted",
        "caching",
        _MODEL_CACHE,
        "    if users not in seen.known.reads:",
        "    if users in seen.known.reads:",
        first="stale-takeover/aimtemplatecaches",
    ),
    Mutant(
        "delete caches that are in use",
        "nothing in use is deleted",
        "caching",
        _MODEL_CACHE,
        "if not is_managed(seen.cache) or seen.in_use or _may_be_complete(seen, download):",
        "if not is_managed(seen.cache) or _may_be_complete(seen, download):",
    ),
    Mutant(
        "Ready before the cache is warm",
        "a template with caching is Ready only when warm",
        "caching",
        "domain/templates/state.py",
        '    if warm.status == "True" and not {item.source for item in report.sources} <= seen.cached:',
        '    if seen.cached:\n        return RollUp(TemplateState.READY, PROFILES_DISCOVERED, "")\n'
        '    if warm.status == "True" and not {item.source for item in report.sources} <= seen.cached:',
    ),
    # ---- models and services
    Mutant(
        "leave the owner out of generated templates",
        "templates are deleted with their model",
        "models",
        "domain/models/auto_templates.py",
        '"ownerReferences": [owner_reference(model)],',
        '"ownerReferences": [],',
    ),
    Mutant(
        "create one of the recommended templates only",
        "all recommended templates exist",
        "models",
        "domain/models/decision.py",
        "if name not in seen.existing}",
        "if not seen.existing}",
        first="crash-after",
    ),
    Mutant(
        "leave the owner out of InferenceServices",
        "an InferenceService is deleted with its service",
        "services",
        "domain/services/inference_service.py",
        '"ownerReferences": [owner_reference(service.obj)],',
        '"ownerReferences": [],',
    ),
    Mutant(
        "do not become an owner of a shared template",
        "every service owns its derived template",
        "derivation",
        _DERIVATION,
        "if all(owner.uid != seen.service.obj.meta.uid for owner in uses.meta.owners):",
        "if not uses.meta.owners:",
    ),
    Mutant(
        "replace the other owners",
        "every service owns its derived template",
        "derivation",
        _DERIVATION,
        '{"ownerReferences": [*_to_json(uses.meta.owners), mine]}',
        '{"ownerReferences": [mine]}',
    ),
    Mutant(
        "delete a template of other owners",
        "nothing in use is deleted",
        "derivation",
        _DERIVATION,
        "        if others:\n",
        "        if len(others) > 1:\n",
    ),
    Mutant(
        "keep the owner reference",
        "an unused derived template is removed",
        "derivation",
        _DERIVATION,
        "    unused = (*_release(seen, uses), *_delete_outdated(seen))\n",
        "    unused = (*_delete_outdated(seen),)\n",
    ),
    # ---- writes
    Mutant(
        "send patches without a resourceVersion",
        "a decision holds for the observed state only",
        "derivation",
        _PLAN_RUN,
        'metadata = {**action.body.get("metadata", {}), "resourceVersion": target.resource_version}',
        'metadata = {**action.body.get("metadata", {})}',
        first="stale-takeover/aimservicetemplates",
    ),
    Mutant(
        "delete without preconditions",
        "a decision holds for the observed state only",
        "derivation",
        _PLAN_RUN,
        "                    uid=target.uid,\n                    resource_version=target.resource_version,\n",
        "",
        first="stale-takeover/aimservicetemplates",
    ),
    Mutant(
        "write the status without a resourceVersion",
        "a status is of the observed state",
        "discovery",
        "controllers/execution/status_writer.py",
        '"uid": meta.uid, "resourceVersion": meta.resource_version}',
        '"uid": meta.uid}',
        first="stale-takeover",
    ),
    Mutant(
        "drop a write whose name is taken",
        "an object that has the name already is reported",
        "caching",
        _PLAN_RUN,
        "        except AlreadyExists:\n            return await self._exists(obj, action)",
        "        except AlreadyExists:\n            self._dropped.add(action.key)\n            return False",
    ),
    # ---- the library
    Mutant(
        "do not read own writes",
        "a later read is not older than a write",
        "discovery",
        _STORE,
        '        if not is_newer(obj.meta.resource_version, self._versions.get(scope, "")):\n            return ()\n        old',
        '        if is_newer(obj.meta.resource_version, ""):\n            return ()\n        old',
        first="lagging-watch/jobs",
    ),
    Mutant(
        "let late events replace own writes",
        "a later read is not older than a write",
        "discovery",
        _STORE,
        "        if old is not None and not newer(obj, old):\n            # Older",
        "        if old is not None and old is obj:\n            # Older",
        first="lagging-watch/aimservicetemplates",
    ),
    Mutant(
        "ignore deletions in a new list",
        "a lost deletion is found by the next list",
        "caching",
        _MERGE,
        "            deletes.append(Change(old, None, confirmed=False))\n    return",
        "            content.setdefault(old.meta.namespace, {})[old.meta.name] = old\n    return",
        first="lost-event/persistentvolumeclaims",
    ),
    Mutant(
        "ignore changes in a new list",
        "a lost event is found by the next list",
        "discovery",
        _MERGE,
        "                    others.append(Change(old, obj))\n",
        "",
        first="lost-event",
    ),
    Mutant(
        "drop what is added while it is reconciled",
        "an event during a reconcile causes another one",
        "discovery",
        _QUEUE,
        "        if again is not None and again.label is not None:\n            self._enqueue(again, now)",
        "        if again is not None and again.label is not None:\n            del self._pending[item]",
    ),
    Mutant(
        "do not retry a reconcile that failed",
        "a failed reconcile is retried",
        "discovery",
        "runtime/controller/controller.py",
        "        self._queue.add_after(request, pause, priority=priority)",
        "        if outcome.error is None:\n            self._queue.add_after(request, pause, priority=priority)",
        first="lost-request",
    ),
    Mutant(
        "retry after minutes",
        "the first delays after an error are short",
        "discovery",
        "runtime/queue/ratelimit.py",
        "        return exponential_delay(self._count(item), self._base, self._max)",
        "        return exponential_delay(self._count(item) + 16, self._base, self._max)",
        first="lost-request",
    ),
    # ---- the lease
    Mutant(
        "release the lease before workers stop",
        "only the leader writes",
        "failover",
        "runtime/manager/lifecycle.py",
        "        async with asyncio.TaskGroup() as tasks:\n            stops = [",
        "        if self._elector and self._release:\n            await self._elector.release()\n"
        "        async with asyncio.TaskGroup() as tasks:\n            stops = [",
        first="late-write",
    ),
    Mutant(
        "never release the lease",
        "the next leader starts at once",
        "failover",
        "runtime/manager/lifecycle.py",
        "if self._elector and self._release and worked:",
        "if self._elector and self._release and worked and late:",
    ),
    Mutant(
        "lead without renewals",
        "only the leader writes",
        "failover",
        _ELECTION,
        "        return self._renewed_at + self._options.renew_deadline - self._clock.monotonic()",
        "        return self._renewed_at + 100 * self._options.renew_deadline - self._clock.monotonic()",
    ),
    Mutant(
        "take the lease of a live leader",
        "only the leader writes",
        "failover",
        "runtime/manager/leaderelection/lease.py",
        "    return Action.WAIT if now < observed.since + duration else Action.TAKE",
        "    return Action.WAIT if now < observed.since + duration - 28 else Action.TAKE",
    ),
)
