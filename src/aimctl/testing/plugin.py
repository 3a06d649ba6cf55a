"""Pytest fixtures for tests of operators.

Enable them with ``pytest_plugins = ["aimctl.testing.plugin"]`` in the topmost ``conftest.py``. They need the extra
``testing``.

    cluster       an embedded cluster in real time, in the event loop of the test; also named dev_cluster
    kube_client   a client for it
    faults        its faults
    manager       a manager for it, which runs within ``async with running(manager)``
    virtual_time  runs a scenario, with or without a cluster, in virtual time
    simulate      runs a Scenario with many seeds, each a function of the seed

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
from aimctl.runtime.manager import Manager
from aimctl.testing.hosting import hosted
from aimctl.testing.simulation.run import Report, SimulationFailed, shrink
from aimctl.testing.simulation.run import simulate as run_simulation
from aimctl.testing.virtualtime import run_virtual, virtual_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable

    from aimctl.devcluster import ClusterFields, Faults
    from aimctl.runtime.kube.client import Client
    from aimctl.testing.simulation.scenario import Scenario

__all__ = [
    "SimulationRunner",
    "VirtualTime",
    "cluster",
    "dev_cluster",
    "faults",
    "kube_client",
    "manager",
    "pytest_configure",
    "simulate",
    "virtual_time",
]

_TRACE_LINES = 60

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


@final
class SimulationRunner:
    """Runs a scenario with many seeds."""

    def __call__(self, scenario: Scenario, seeds: Iterable[int] = range(10)) -> list[Report]:
        """Run the scenario with each seed.

        Args:
            scenario: what is simulated.
            seeds: of the runs.

        Raises:
            SimulationFailed: an invariant did not hold. The first seed that fails is shortened.
        """
        reports = []
        for seed in seeds:
            report = run_simulation(scenario, seed)
            if report.problems:
                short = shrink(scenario, report)
                trace = "\n".join(short.trace[-_TRACE_LINES:])
                raise SimulationFailed(f"{short.text(scenario)}\n{trace}")
            reports.append(report)
        return reports


@pytest.fixture
def simulate() -> SimulationRunner:
    """Runs a scenario with many seeds."""
    return SimulationRunner()


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


@pytest.fixture
def cluster(dev_cluster: DevCluster) -> DevCluster:
    """A new embedded cluster, which is ready."""
    return dev_cluster


@pytest.fixture
def faults(dev_cluster: DevCluster) -> Faults:
    """The faults of the cluster."""
    return dev_cluster.faults


@pytest.fixture
def manager(dev_cluster: DevCluster) -> Manager:
    """A manager for the cluster, without controllers, which does not run yet."""
    return Manager(dev_cluster.transport(), clock=dev_cluster.clock)
