"""Hot loops in virtual time: no timer can fire, so the loop ends with an error that names the cause."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from aimctl.devcluster import DevCluster
from aimctl.kubetypes import Object
from aimctl.kubetypes.builtin import CONFIG_MAPS, SECRETS
from aimctl.runtime.controller import HotLoopDetector, Result
from aimctl.runtime.controller.write_log import WriteLog
from aimctl.runtime.manager import Manager
from aimctl.testing import HotLoopError, run_virtual, virtual_clock, virtualtime

if TYPE_CHECKING:
    from collections.abc import Callable


async def on_cluster(setup: Callable[[Manager], None]) -> None:
    """Run controllers while a ConfigMap and a Secret named default/a exist. It has to end by itself."""
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        setup(manager)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(manager.run())
            for kind in (CONFIG_MAPS, SECRETS):
                await cluster.client().create(kind, {"metadata": {"name": "a"}}, "default")
            await asyncio.sleep(60)
            running.cancel()


def test_a_reconcile_that_its_own_write_triggers_fails_the_test_with_key_and_fields():
    def setup(manager: Manager) -> None:
        number = itertools.count()

        async def reconcile(request):
            await manager.client.patch(
                SECRETS, request.name, {"stringData": {"token": f"hidden-{next(number)}"}}, request.namespace
            )

        manager.controller("tokens", reconcile, for_=SECRETS)

    with capture_logs() as logs, pytest.raises(HotLoopError) as raised:
        run_virtual(on_cluster(setup))
    text = str(raised.value)
    assert text.startswith("controller 'tokens' has reconciled default/a 1000 times within a millisecond")
    assert "Secret default/a: changes " in text
    assert "generation_changed" in text
    assert "hidden" not in text
    (warning,) = [log for log in logs if log["log_level"] == "warning"]
    assert warning["event"].startswith("hot loop")
    assert warning["writes"] == (text[text.index("Secret default/a") : text.index(". To fix")],)


def test_two_controllers_that_revert_each_other_are_found():
    def setup(manager: Manager) -> None:
        def setter(value: str):
            async def reconcile(request):
                found = manager.cache.get(CONFIG_MAPS, request.name, request.namespace)
                if found is not None and (found.view.data or {}).get("owner") != value:
                    await manager.client.patch(
                        CONFIG_MAPS, request.name, {"data": {"owner": value}}, request.namespace
                    )

            return reconcile

        manager.controller("left", setter("left"), for_=CONFIG_MAPS)
        manager.controller("right", setter("right"), for_=CONFIG_MAPS)

    with capture_logs(), pytest.raises(HotLoopError, match="something else changes it in between"):
        run_virtual(on_cluster(setup))


def test_a_loop_without_writes_is_found():
    def setup(manager: Manager) -> None:
        async def reconcile(request):
            manager.controllers["eager"].queue.add(request)

        manager.controller("eager", reconcile, for_=CONFIG_MAPS)

    with capture_logs(), pytest.raises(HotLoopError, match="none by the client of the manager"):
        run_virtual(on_cluster(setup))


@pytest.mark.parametrize("microseconds", [0.1, 1])
def test_a_requeue_after_hardly_any_time_is_found(microseconds: float):
    def setup(manager: Manager) -> None:
        async def reconcile(request):
            return Result(requeue_after=microseconds / 1e6)

        manager.controller("eager", reconcile, for_=CONFIG_MAPS)

    with capture_logs(), pytest.raises(HotLoopError, match="'eager' has reconciled default/a 1000 times"):
        run_virtual(on_cluster(setup))


def test_the_loop_of_a_task_without_a_controller_is_found(monkeypatch):
    monkeypatch.setattr(virtualtime, "_MOST_ITERATIONS", 1000)

    async def spin():
        for _ in itertools.count():
            await asyncio.sleep(0)

    async def main():
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            tasks.create_task(spin(), name="spinning top")

    with pytest.raises(HotLoopError, match="spinning top"):
        run_virtual(main())


def test_many_reconciles_with_time_between_them_are_no_hot_loop():
    async def main() -> int:
        reconciles = itertools.count()

        def setup(manager: Manager) -> None:
            async def reconcile(request):
                if next(reconciles) < 1500:
                    await asyncio.sleep(0.001)
                    manager.controllers["busy"].queue.add(request)

            manager.controller("busy", reconcile, for_=CONFIG_MAPS, hot_loop=HotLoopDetector(5000))

        await on_cluster(setup)
        return next(reconciles)

    with capture_logs():
        assert run_virtual(main()) > 1500


def config_map(name: str, version: int, **data: str) -> Object:
    meta = {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(version)}
    fields = ",".join(f'"{key}":"{value}"' for key, value in data.items())
    text = '{"metadata":' + str(meta).replace("'", '"') + ',"data":{' + fields + "}}"
    return Object.parse(CONFIG_MAPS, text.encode())


def test_a_write_log_names_the_changed_fields_but_no_values():
    log = WriteLog()
    log.add(config_map("a", 1, x="old", same="1"))
    log.add(config_map("b", 2))
    log.add(config_map("a", 3, x="secret", same="1", y="new"))
    assert log.described() == ("ConfigMap n/a: changes data.x, data.y", "ConfigMap n/b: written once")
    log.add(config_map("a", 4, x="secret", same="1", y="new"))
    assert "something else changes it" in log.described()[0]
    log.add(config_map("a", 5, **{f"k{number}": "v" for number in range(9)}))
    assert log.described()[0].endswith("and 7 more fields")
    for number in range(20):
        log.add(config_map(f"c{number}", 10))
    assert len(log.described()) == 5


def test_writes_are_recorded_only_just_before_the_limit():
    detector: HotLoopDetector[str] = HotLoopDetector(12, 100.0)
    recorded = []
    for now in range(13):
        recorded.append(detector.write_log("a") is not None)
        detector.succeeded("a", now)
    assert recorded == [False] * 2 + [True] * 10 + [False]
    assert HotLoopDetector(0).write_log("a") is None
    detector.succeeded("a", 200)
    assert detector.writes("a") == ()
