"""The embedded cluster as a whole: start, sockets, kubectl, data file, determinism, fixtures."""

import asyncio
import contextlib
import dataclasses
import random

import msgspec
import pytest

from aimctl.devcluster import ClusterFields, ClusterOptions, DevCluster, NotSettled
from aimctl.kubetypes.builtin import CRDS, JOBS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.errors import ConnectionFailed
from aimctl.simulation import Catalogue
from aimctl.testing.hosting import hosted
from aimctl.testing.virtualtime import run_virtual, virtual_clock, virtual_time
from support.devpods import job_body, pod_body
from support.kubectl import Kubectl

IMAGES = Catalogue.default()
DRY_RUN = ("dry-run", "--format=json")
pytest_plugins = ["pytester"]


def body(item):
    return msgspec.json.decode(item.raw, type=dict)


@virtual_time
async def test_an_entered_cluster_has_namespaces_accounts_and_nodes():
    async with DevCluster(clock=virtual_clock()) as cluster:
        client = cluster.client()
        names = {item.meta.name for item in (await client.list(NAMESPACES)).items}
        assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
        assert {item.meta.namespace for item in (await client.list(SERVICE_ACCOUNTS)).items} == names
        assert [item.meta.name for item in (await client.list(NODES)).items] == ["node-0", "node-1"]
        assert (await client.list(CRDS)).items == ()


@virtual_time
async def test_the_period_of_bookmarks_is_an_option():
    async with DevCluster(clock=virtual_clock(), controllers=False, bookmark_seconds=5.0) as cluster:
        began, client = cluster.clock.monotonic(), cluster.client()
        version = (await client.list(NODES)).resource_version
        options = {"resource_version": version, "timeout_seconds": 60, "idle_seconds": 30}
        async with client.watch(NODES, **options) as events:
            assert (await anext(events)).type == "BOOKMARK"
        assert cluster.clock.monotonic() - began == 5


@virtual_time
async def test_after_leaving_no_task_runs_and_connections_are_refused():
    async with DevCluster(clock=virtual_clock()) as cluster:
        client = cluster.client()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(ConnectionFailed):
        await client.list(NODES)


@virtual_time
async def test_an_exception_of_the_block_is_not_wrapped():
    with pytest.raises(KeyError):
        async with DevCluster(clock=virtual_clock()):
            raise KeyError("mine")


class Broken:
    """A program that raises, which is not allowed."""

    def behaviour(self, call):
        if call.image == "odd":
            raise ValueError(f"nobody foresaw {call.image}")


@virtual_time
async def test_a_defect_is_raised_by_settled_and_stops_nothing_else():
    async with DevCluster(clock=virtual_clock(), programs=[Broken(), IMAGES]) as cluster:
        client = cluster.client()
        await client.create(PODS, pod_body("a", image="odd"), "default")
        await client.create(PODS, pod_body("b"), "default")
        with pytest.raises(ExceptionGroup, match="defects") as caught:
            await cluster.settled()
        assert caught.group_contains(ValueError, match="nobody foresaw odd")
        await cluster.clock.sleep(10)
        assert body(await client.get(PODS, "b", "default"))["status"]["phase"] == "Succeeded"


def test_the_keyword_arguments_have_the_names_and_types_of_the_options():
    arguments = {name: type_.__forward_arg__ for name, type_ in ClusterFields.__annotations__.items()}
    assert arguments == {field.name: field.type for field in dataclasses.fields(ClusterOptions)}


def test_unknown_options_are_rejected_by_name():
    with pytest.raises(TypeError, match="machine_count"):
        DevCluster(clock=LoopClock(), machine_count=3)


@virtual_time
async def test_a_cluster_without_controllers_is_an_api_server():
    async with DevCluster(clock=virtual_clock(), controllers=False) as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(), "default")
        await cluster.settled(horizon_seconds=10)
        assert (await client.list(PODS, "default")).items == ()
        assert (await client.list(NODES)).items == ()


@virtual_time
async def test_a_cluster_that_does_not_settle_reports_the_busy_controllers():
    async with DevCluster(clock=virtual_clock(), programs=[IMAGES]) as cluster:
        await cluster.client().create(PODS, pod_body(image="aim-broken"), "default")
        with pytest.raises(NotSettled, match=r"node: 0 queued \(\), 1 timers \(default/pod\)"):
            await cluster.settled(horizon_seconds=3600, timeout_seconds=60)


def _run_with_seed(seed):
    async def scenario():
        async with DevCluster(clock=virtual_clock(), programs=[IMAGES], rng=random.Random(seed)) as cluster:
            client = cluster.client()
            for number in range(5):
                image = ("aim-x", "aim-crashing", "aim-broken")[number % 3]
                await client.create(JOBS, job_body(f"j{number}", image=image, args=DRY_RUN), "default")
            await cluster.clock.sleep(100)
            return [item.raw for kind in (JOBS, PODS, NODES) for item in (await client.list(kind)).items]

    return run_virtual(scenario())


@pytest.mark.proof
def test_the_same_seed_gives_the_same_cluster_to_the_byte():
    assert _run_with_seed(1) == _run_with_seed(1)
    assert _run_with_seed(1) != _run_with_seed(2)


async def test_state_survives_a_restart_and_running_pods_run_again(tmp_path):
    options = ClusterOptions(programs=[IMAGES], pace=0.01)
    async with DevCluster(clock=LoopClock(), options=options, data_file=tmp_path / "data") as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body("done", image="aim-llama-3-8b", args=DRY_RUN), "default")
        await client.create(PODS, pod_body("endless", image="aim-endless"), "default")
        await cluster.settled(horizon_seconds=1)
    async with DevCluster(clock=LoopClock(), options=options, data_file=tmp_path / "data") as cluster:
        client = cluster.client()
        await cluster.settled(horizon_seconds=1)
        job = body(await client.get(JOBS, "done", "default"))
        assert job["status"]["succeeded"] == 1
        pods = {item.meta.name: body(item) for item in (await client.list(PODS, "default")).items}
        assert pods.pop("endless")["status"]["phase"] == "Running"
        (finished,) = pods
        # The log of a finished pod is restored, because the result may not have been read before the restart.
        assert b"Llama-3.1-8B" in await client.logs(finished, "default")


async def test_kubectl_lists_describes_and_reads_logs_over_a_socket(tmp_path):
    async with DevCluster(clock=LoopClock(), programs=[IMAGES], pace=0.01) as cluster:
        with pytest.raises(RuntimeError, match=r"call serve\(\) first"):
            cluster.write_kubeconfig(tmp_path / "kubeconfig")
        await cluster.serve()
        with pytest.raises(RuntimeError, match="it listens on http://127"):
            await cluster.serve()
        path = cluster.write_kubeconfig(tmp_path / "kubeconfig")
        assert path.stat().st_mode & 0o777 == 0o600
        # Without it, the JavaScript client rejects plain HTTP.
        assert "insecure-skip-tls-verify: true" in path.read_text(encoding="utf-8")
        kubectl = Kubectl(path, tmp_path / "cache")

        async def run(*args, **kwargs):
            return await asyncio.to_thread(kubectl, *args, **kwargs)

        job = msgspec.json.encode(job_body("j", image="aim-llama-3-8b", args=DRY_RUN)).decode()
        await run("create", "-f", "-", stdin=job)
        await run("wait", "--for=condition=complete", "job/j", "--timeout=20s")
        assert "Llama-3.1-8B" in await run("logs", "job/j")
        assert "node-0" in await run("get", "nodes")
        told = await run("describe", "pods", "-l", "job-name=j")
        assert "Successfully assigned default/j-" in told
        await run("delete", "job", "j", "--cascade=foreground", "--timeout=20s")
        assert (await cluster.client().list(PODS, "default")).items == ()


async def test_followed_logs_arrive_when_written_and_end_with_the_container():
    async with DevCluster(clock=LoopClock(), programs=[IMAGES], pace=0.1) as cluster:
        client = cluster.client()
        await client.create(PODS, pod_body(image="aim-llama-3-8b", args=DRY_RUN), "default")
        for _ in range(200):
            if body(await client.get(PODS, "pod", "default"))["status"]["phase"] == "Running":
                break
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10), client.follow_logs("pod", "default") as chunks:
            text = b"".join([chunk async for chunk in chunks])
        assert text.startswith(b"INFO aim-runtime")
        assert text.endswith(b"]\n")


@virtual_time
async def test_heartbeats_renew_the_nodes_and_their_leases():
    from aimctl.kubetypes.builtin import LEASES

    async with DevCluster(clock=virtual_clock(), heartbeat_seconds=10.0) as cluster:
        await cluster.clock.sleep(25)
        client = cluster.client()
        lease = body(await client.get(LEASES, "node-1", "kube-node-lease"))
        assert lease["spec"]["renewTime"].startswith("2026-01-01T00:00:20")
        node = body(await client.get(NODES, "node-1"))
        (ready,) = [item for item in node["status"]["conditions"] if item["type"] == "Ready"]
        assert ready["lastHeartbeatTime"] > ready["lastTransitionTime"]


async def test_a_hosted_context_is_entered_and_left_in_one_task():
    tasks = []

    @contextlib.asynccontextmanager
    async def context():
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup():
            yield "value"
        tasks.append(asyncio.current_task())

    holder = hosted(context())
    async with asyncio.TaskGroup() as group:
        entered = group.create_task(holder.__aenter__())
    assert entered.result() == "value"
    async with asyncio.TaskGroup() as group:
        group.create_task(holder.__aexit__(None, None, None))
    assert tasks[0] is tasks[1]


async def test_an_exception_on_entering_a_hosted_context_is_raised():
    @contextlib.asynccontextmanager
    async def context():
        raise KeyError("mine")
        yield

    with pytest.raises(KeyError):
        async with hosted(context()):
            pass


def test_the_fixtures_provide_a_cluster_in_real_and_virtual_time(pytester):
    pytester.makeconftest('pytest_plugins = ["aimctl.testing.plugin"]')
    pytester.makepyfile(
        """
        import pytest
        from aimctl.kubetypes.builtin import NODES

        @pytest.mark.dev_cluster(machines=[])
        async def test_real(dev_cluster, kube_client):
            assert (await kube_client.list(NODES)).items == ()

        def test_virtual(virtual_time):
            async def scenario(cluster):
                await cluster.clock.sleep(86400)
                return len((await cluster.client().list(NODES)).items)

            assert virtual_time.on_cluster(scenario) == 2

            async def nothing():
                return 7

            assert virtual_time.run(nothing()) == 7
        """
    )
    result = pytester.runpytest_subprocess(
        "-q",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
        "-W",
        "error",
        "--strict-markers",
    )
    result.assert_outcomes(passed=2)
