"""A Prometheus as a process of its own, and its HTTP API."""

from __future__ import annotations

import asyncio
import math
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
import yaml

from support.ports import reserve_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Firing", "Prometheus", "Series"]

_START_SECONDS = 20.0


class Firing(NamedTuple):
    """An alert that fires: its labels without the name, and its annotations."""

    name: str
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """The labels of a series and its finite samples: Unix time and value."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Prometheus:
    """Scrapes targets every two seconds, and evaluates the rules every second. Use as an async context manager: leaving it ends the process.

    Args:
        binary: the program.
        folder: for its configuration, data and log.
        targets: ``host:port`` of each manager.
        groups: rule groups.
        scrape: more fields of the scrape configuration, such as ``scheme``.
    """

    def __init__(
        self,
        binary: str,
        folder: Path,
        *,
        targets: Sequence[str],
        groups: Sequence[Mapping[str, Any]],
        scrape: Mapping[str, Any],
    ) -> None:
        self._port = reserve_port()
        self.url = f"http://127.0.0.1:{self._port.number}"
        self._log = folder / "prometheus.log"
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": list(groups)}))
        job = {"job_name": "aimctl", "static_configs": [{"targets": list(targets)}], **scrape}
        config = {
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "rules.yaml")],
            "scrape_configs": [job],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self._command = [
            binary,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self._port.number}",
        ]

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._session = aiohttp.ClientSession()
        end = asyncio.get_running_loop().time() + _START_SECONDS
        while not await self._ready():
            if self._process.returncode is not None or asyncio.get_running_loop().time() > end:
                await self.__aexit__()
                raise AssertionError(f"Prometheus does not start:\n{self._log.read_text()[-3000:]}")
            await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        self._port.release()

    async def _ready(self) -> bool:
        try:
            async with self._session.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _data(self, path: str, **query: str) -> Any:
        async with self._session.get(f"{self.url}/api/v1/{path}", params=query) as answer:
            body = await answer.json()
        assert body["status"] == "success", (path, query, body)
        return body["data"]

    async def firing(self) -> set[Firing]:
        """The alerts that fire now."""
        alerts = (await self._data("alerts"))["alerts"]
        return {
            Firing(
                one["labels"]["alertname"],
                tuple(sorted((key, value) for key, value in one["labels"].items() if key != "alertname")),
                tuple(sorted(one["annotations"].items())),
            )
            for one in alerts
            if one["state"] == "firing"
        }

    async def instant(self, query: str) -> dict[tuple[str, ...], float]:
        """The value of each series of a query now, by the values of its labels in the order of their names."""
        found = await self._data("query", query=query)
        return {
            tuple(value for _, value in sorted(one["metric"].items())): float(one["value"][1])
            for one in found["result"]
        }

    async def series(self, query: str, start: float, end: float, step: float = 1.0) -> list[Series]:
        """The series of a query in a time range, without those that have no finite sample."""
        found = await self._data("query_range", query=query, start=str(start), end=str(end), step=str(step))
        series = []
        for one in found["result"]:
            points = [(float(at), float(value)) for at, value in one["values"]]
            points = [point for point in points if math.isfinite(point[1])]
            if points:
                series.append(Series(one["metric"], points))
        return series
