"""The page ``/metrics``, in the Prometheus text format or OpenMetrics, according to the Accept header.

Contract:
    * A page shows one moment: all values are collected between two awaits. The text is then made in slices, between
      which the event loop runs, so a large page does not delay reconciles.
    * The values are from after the arrival of the request. Requests that arrive while a page is made share the next.
    * Making pages takes at most :data:`RENDER_SHARE` of a CPU continuously. If more requests arrive, they get the
      latest page again.
"""

from __future__ import annotations

import asyncio
import copy
import gzip
import time
from typing import TYPE_CHECKING, NamedTuple, final

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager.serving.limits import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from aimctl.runtime.manager.serving.http import Routes

__all__ = ["metrics_routes"]

RENDER_SHARE = 0.05
"""Share of one CPU that rendering may take continuously."""

RENDER_CREDIT_SECONDS = 0.1
"""CPU seconds that may be saved up for a burst."""

_SLICE_SECONDS = 0.001
"""CPU time after which the event loop runs."""

_SLICE_SAMPLES = 100

_OPEN_METRICS = "application/openmetrics-text"
_END = b"# EOF\n"


@final
class _Families(Collector):
    """Families of metrics as a registry, for the encoders."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


class _Page(NamedTuple):
    """A page.

    Attributes:
        asked: number of the request after which its values were collected.
        plain: the text.
        packed: the text, compressed.
    """

    asked: int
    plain: bytes
    packed: bytes


@final
class _Pages:
    """The pages of one format.

    Args:
        registry: what they show.
        encode: turns a registry into text.
        budget: of all formats.
        cpu_time: seconds of the running thread.
    """

    def __init__(
        self,
        registry: Collector,
        encode: Callable[[Collector], bytes],
        budget: Budget,
        cpu_time: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._encode = encode
        self._budget = budget
        self._cpu_time = cpu_time
        self._rendering = asyncio.Lock()
        self._latest: _Page | None = None
        self._asked = 0

    async def get(self) -> _Page:
        """A page with values from now, or the latest page if the budget is spent."""
        self._asked += 1
        asked = self._asked
        async with self._rendering:
            latest = self._latest
            if latest is None or (latest.asked < asked and self._budget.available()):
                latest = self._latest = await self._render()
            return latest

    async def _render(self) -> _Page:
        asked, started = self._asked, self._cpu_time()
        families = list(self._registry.collect())
        parts = []
        last = None
        for family in _in_slices(families):
            text = self._encode(_Families((family,))).removesuffix(_END)
            if family.name == last:  # the help and the type are there already
                text = b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#"))
            last = family.name
            parts.append(text)
            if self._cpu_time() - started >= _SLICE_SECONDS:
                self._budget.spend(self._cpu_time() - started)
                await asyncio.sleep(0)
                started = self._cpu_time()
        # Of no family, it is the end of the format.
        parts.append(self._encode(_Families(())))
        page = b"".join(parts)
        packed = gzip.compress(page, compresslevel=1)
        self._budget.spend(self._cpu_time() - started)
        return _Page(asked, page, packed)


def _in_slices(families: Iterable[Metric]) -> Iterator[Metric]:
    """The families, those with many samples as several families.

    Without the ``_created`` series, which the client library adds to counters and histograms.
    """
    for family in families:
        samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        for first in range(0, max(1, len(samples)), _SLICE_SAMPLES):
            part = copy.copy(family)
            part.samples = samples[first : first + _SLICE_SAMPLES]
            yield part


def metrics_routes(registry: Collector, *, cpu_time: Callable[[], float] = time.thread_time) -> Routes:
    """Return the route ``/metrics``."""
    budget = Budget(LoopClock().monotonic, rate=RENDER_SHARE, maximum=RENDER_CREDIT_SECONDS)
    formats: dict[str, _Pages] = {}

    async def metrics(request: web.Request) -> web.Response:
        # Only two formats are kept, whatever versions and parameters a client invents.
        wanted = _OPEN_METRICS if _OPEN_METRICS in ",".join(request.headers.getall("Accept", [])) else ""
        encode, content_type = choose_encoder(wanted)
        if content_type not in formats:
            formats[content_type] = _Pages(registry, encode, budget, cpu_time)
        page = await formats[content_type].get()
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=page.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=page.plain, headers=headers)

    return {"/metrics": metrics}
