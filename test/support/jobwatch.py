"""An independent witness of discovery Jobs.

It watches Jobs with the official ``kubernetes`` client in a thread of its own and shares no code with the product.
What it records: the largest number of discovery Jobs that were unfinished at once, and how often each Job name was
created. A Job is unfinished from its creation until its ``Complete`` or ``Failed`` condition is true or it is gone.

The watch starts before the test's first template and is resumed from the last resourceVersion when the server goes
away, so no event is missed; if the server says that version is gone, :attr:`JobWitness.gaps` counts it and the test
has to fail, since the record would have a hole.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import kubernetes
import urllib3.exceptions
from kubernetes import client, watch

if TYPE_CHECKING:
    from pathlib import Path

LABEL = "aim.silogen.ai/template"


def _finished(job: Any) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions)


class JobWitness:
    """Use as a context manager around what is to be watched."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = str(kubeconfig)
        self._stop = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-witness", daemon=True)
        self._unfinished: set[tuple[str, str]] = set()
        self._seen_uids: set[str] = set()
        self.most_unfinished = 0
        self.created: Counter[tuple[str, str]] = Counter()
        self.over_limit: list[list[str]] = []
        self.gaps = 0
        self.events = 0
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(30):
            raise RuntimeError(f"the witness could not list Jobs: {self.error}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    @property
    def unfinished(self) -> frozenset[tuple[str, str]]:
        """(namespace, name) of the Jobs unfinished now."""
        return frozenset(self._unfinished)

    def _run(self) -> None:
        api = client.BatchV1Api(kubernetes.config.new_client_from_config(self._kubeconfig))
        version = ""
        while not self._stop.is_set():
            try:
                if not version:
                    page = api.list_job_for_all_namespaces(label_selector=LABEL, _preload_content=False)
                    version = self._take_list(page)
                    self._started.set()
                version = self._follow(api, version)
            except client.ApiException as error:
                if error.status == 410:
                    self.gaps += 1
                    version = ""
                self.error = error
                self._stop.wait(0.2)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                self.error = error
                self._stop.wait(0.2)

    def _take_list(self, page: Any) -> str:
        import json

        body = json.loads(page.data)
        self._unfinished.clear()
        for item in body["items"]:
            self._take("ADDED", item)
        return str(body["metadata"]["resourceVersion"])

    def _follow(self, api: Any, version: str) -> str:
        stream = watch.Watch()
        for event in stream.stream(
            api.list_job_for_all_namespaces,
            label_selector=LABEL,
            resource_version=version,
            timeout_seconds=2,
            _request_timeout=10,
        ):
            raw = event["raw_object"]
            version = raw["metadata"]["resourceVersion"]
            self._take(event["type"], raw)
            if self._stop.is_set():
                stream.stop()
        return version

    def _take(self, kind: str, job: dict[str, Any]) -> None:
        self.events += 1
        meta = job["metadata"]
        key = (meta["namespace"], meta["name"])
        if meta["uid"] not in self._seen_uids:
            self._seen_uids.add(meta["uid"])
            self.created[key] += 1
        if kind == "DELETED" or _finished(job):
            self._unfinished.discard(key)
        else:
            self._unfinished.add(key)
        self.most_unfinished = max(self.most_unfinished, len(self._unfinished))
