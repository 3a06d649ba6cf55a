"""Pytest fixtures for tests of operators.

Enable them with ``pytest_plugins = ["aimctl.testing.plugin"]`` in the topmost ``conftest.py``. They need the extra
``testing``.

    dev_cluster   an embedded cluster in real time, in the event loop of the test
    kube_client   a client for it
    virtual_time  runs a scenario, with or without a cluster, in virtual time

The marker ``dev_cluster`` sets the options of :class:`~aimctl.devcluster.cluster.ClusterOptions`::

    @pytest.mark.dev_cluster(pace=0, crds=[...])
    async def test_something(dev_cluster, kube_client): ...

    def test_a_day(virtual_time):
        async def scenario(cluster):
            ...
        virtual_time.on_cluster(scenario, pace=1.0)
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, final

import pytest

try:
    import pytest_asyncio
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "aimctl.testing.plugin needs pytest-asyncio: install aimctl with its extra 'testing'",
        name=missing.name,
    ) from missing

from aimctl.devcluster import DevCluster
from aimctl.runtime.clock import LoopClock
from aimctl.testing.hosting import hosted
from aimctl.testing.virtualtime import run_virtual, virtual_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from aimctl.devcluster import ClusterFields
    from aimctl.runtime.kube.client import Client

__all__ = ["VirtualTime", "dev_cluster", "kube_client", "pytest_configure", "virtual_time"]

T = TypeVar("T")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker ``dev_cluster``."""
    config.addinivalue_line("markers", "dev_cluster(**options): options of the fixture dev_cluster")


@final
class VirtualTime:
    """Runs scenarios in virtual time, each in a new event loop whose wall clock starts at ``EPOCH``."""

    def run(self, scenario: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result."""
        return run_virtual(scenario)

    def on_cluster(
        self,
        scenario: Callable[[DevCluster], Awaitable[T]],
        *,
        seed: int = 0,
        **options: Unpack[ClusterFields],
    ) -> T:
        """Run ``scenario(cluster)`` with a new embedded cluster.

        Args:
            scenario: the test.
            seed: of the cluster's randomness; runs with the same seed are equal.
            options: those of ClusterOptions; type checkers know their names and types.
        """

        async def main() -> T:
            rng = random.Random(seed)  # noqa: S311 - a repeatable run, no secrets
            async with DevCluster(clock=virtual_clock(), rng=rng, **options) as cluster:
                return await scenario(cluster)

        return run_virtual(main())


@pytest.fixture
def virtual_time() -> VirtualTime:
    """Scenarios in virtual time."""
    return VirtualTime()


@pytest_asyncio.fixture
async def dev_cluster(request: pytest.FixtureRequest) -> AsyncIterator[DevCluster]:
    """A new embedded cluster, which is ready."""
    marker = request.node.get_closest_marker("dev_cluster")
    options = dict(marker.kwargs) if marker is not None else {}
    async with hosted(DevCluster(clock=LoopClock(), **options)) as cluster:
        yield cluster


@pytest_asyncio.fixture
async def kube_client(dev_cluster: DevCluster) -> Client:
    """A client for the embedded cluster, without sockets."""
    return dev_cluster.client()
