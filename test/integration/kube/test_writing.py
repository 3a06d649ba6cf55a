"""create_or_apply and read_modify_write against the embedded API server."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_asyncio import client as asyncio_client

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.runtime import (
    APPLIED_PREFIX,
    CONFIG_MAPS,
    DEPLOYMENTS,
    SECRETS,
    AlreadyOwned,
    ApiError,
    Client,
    Conflict,
    EncodeError,
    NotFound,
    Resource,
    add_finalizer,
    create_or_apply,
    k8s,
    read_modify_write,
    remove_finalizer,
    retry_on_conflict,
    set_controller_reference,
)
from aimctl.testing import virtual_clock, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PODS = Resource.untyped("", "v1", "Pod", "pods")
QUOTAS = Resource.untyped("", "v1", "ResourceQuota", "resourcequotas")


def config(data: dict[str, str], name: str = "c", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "data": data}


class Writes:
    """Counts the objects that responses of writes contain."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: object) -> None:
        self.count += 1


@asynccontextmanager
async def server() -> AsyncIterator[tuple[Client, Writes]]:
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        writes = Writes()
        yield cluster.client().with_(field_manager="teams", on_write=writes), writes


# ---- create or apply


@virtual_time
async def test_an_object_is_created_then_left_alone_then_changed() -> None:
    """Checklist 131: nothing is written if nothing changed."""
    async with server() as (client, writes):
        created = await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}))
        again = await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}), current=created.object)
        live = await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}))
        assert (created.result, again.result, live.result, writes.count) == (
            "created",
            "unchanged",
            "unchanged",
            1,
        )
        assert again.object is created.object
        changed = await create_or_apply(client, CONFIG_MAPS, config({"a": "2"}), current=created.object)
        assert (changed.result, changed.object.view.data) == ("applied", {"a": "2"})
        assert changed.object.meta.uid == created.object.meta.uid


@virtual_time
async def test_a_field_that_the_body_no_longer_has_is_removed() -> None:
    async with server() as (client, _):
        first = await create_or_apply(client, CONFIG_MAPS, config({"a": "1", "b": "2"}))
        second = await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}), current=first.object)
        assert (second.result, second.object.view.data) == ("applied", {"a": "1"})


@virtual_time
async def test_a_change_by_another_writer_is_reverted_and_its_own_fields_are_kept() -> None:
    async with server() as (client, _):
        await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}))
        other = client.with_(field_manager="other")
        edited = await other.patch(CONFIG_MAPS, "c", {"data": {"b": "theirs"}}, "default")
        same = await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}), current=edited)
        assert same.result == "unchanged"
        edited = await other.patch(CONFIG_MAPS, "c", {"data": {"a": "theirs"}}, "default")
        repaired = await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}), current=edited)
        assert (repaired.result, repaired.object.view.data) == ("applied", {"a": "1", "b": "theirs"})


@virtual_time
@pytest.mark.parametrize("again", [False, True], ids=["deleted", "deleted and created again"])
async def test_an_object_that_was_deleted_in_the_meantime_is_not_created(again: bool) -> None:
    async with server() as (client, _):
        created = await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}))
        await client.delete(CONFIG_MAPS, "c", "default")
        if again:
            await client.create(CONFIG_MAPS, config({"b": "theirs"}))
        with pytest.raises(Conflict):
            await create_or_apply(client, CONFIG_MAPS, config({"a": "2"}), current=created.object)
        if again:
            assert (await client.get(CONFIG_MAPS, "c", "default")).view.data == {"b": "theirs"}
        else:
            with pytest.raises(NotFound):
                await client.get(CONFIG_MAPS, "c", "default")


@virtual_time
async def test_an_object_that_is_being_deleted_is_left_alone() -> None:
    async with server() as (client, writes):
        await client.create(CONFIG_MAPS, config({"a": "1"}, finalizers=["example.org/x"]))
        await client.delete(CONFIG_MAPS, "c", "default")
        before = writes.count
        left = await create_or_apply(client, CONFIG_MAPS, config({"a": "2"}))
        assert (left.result, left.object.view.data, writes.count) == ("deleting", {"a": "1"}, before)


@virtual_time
async def test_an_object_with_another_controller_is_left_alone() -> None:
    async with server() as (client, _):
        first = await client.create(CONFIG_MAPS, config({}, "owner-1"))
        second = await client.create(CONFIG_MAPS, config({}, "owner-2"))
        await create_or_apply(client, CONFIG_MAPS, set_controller_reference(first, config({"a": "1"})))
        with pytest.raises(AlreadyOwned, match=r"ConfigMap default/c.*'owner-1'.*'owner-2'"):
            await create_or_apply(client, CONFIG_MAPS, set_controller_reference(second, config({"a": "2"})))
        assert (await client.get(CONFIG_MAPS, "c", "default")).view.data == {"a": "1"}


@virtual_time
@pytest.mark.parametrize("cached", [False, True], ids=["not in the cache", "in the cache"])
async def test_an_object_of_another_writer_is_taken_over_only_on_request(cached: bool) -> None:
    async with server() as (client, writes):
        owner = await client.create(CONFIG_MAPS, config({}, "owner"))
        other = client.with_(field_manager="other")
        theirs = await other.create(CONFIG_MAPS, config({"a": "theirs", "b": "theirs"}))
        current = theirs if cached else None
        for body in (config({"a": "1"}), set_controller_reference(owner, config({"a": "1"}))):
            before = writes.count
            with pytest.raises(AlreadyOwned, match=r"ConfigMap default/c exists, .*'teams'.*adopt=True"):
                await create_or_apply(client, CONFIG_MAPS, body, current=current)
            assert writes.count == before
        live = await client.get(CONFIG_MAPS, "c", "default")
        assert live.meta.resource_version == theirs.meta.resource_version
        adopted = await create_or_apply(client, CONFIG_MAPS, body, current=current, adopt=True)
        assert (adopted.result, adopted.object.view.data) == ("applied", {"a": "1", "b": "theirs"})
        assert (
            await create_or_apply(client, CONFIG_MAPS, body, current=adopted.object)
        ).result == "unchanged"


@virtual_time
async def test_an_object_with_an_owner_of_the_body_is_the_callers_own() -> None:
    """Such as one that the same reconciler has applied without this function, or under another name."""
    async with server() as (client, _):
        owner = await client.create(CONFIG_MAPS, config({}, "owner"))
        wanted = set_controller_reference(owner, config({"a": "1"}))
        await client.with_(field_manager="earlier name").apply(CONFIG_MAPS, wanted)
        assert (await create_or_apply(client, CONFIG_MAPS, wanted)).result == "applied"


@virtual_time
async def test_an_object_that_another_writer_creates_at_the_same_time_keeps_its_values() -> None:
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        client = cluster.client().with_(field_manager="teams")
        cluster.faults.add(Delay(5.0), Match(verb="patch", resource="configmaps"), times=1)
        writing = asyncio.create_task(create_or_apply(client, CONFIG_MAPS, config({"a": "1"})))
        await asyncio.sleep(1)
        theirs = await client.with_(field_manager="other").create(CONFIG_MAPS, config({"a": "theirs"}))
        with pytest.raises(Conflict) as caught:
            await writing
        assert "data.a" in str(caught.value)
        live = await client.get(CONFIG_MAPS, "c", "default")
        assert live.meta.resource_version == theirs.meta.resource_version


@virtual_time
async def test_defaults_and_other_spellings_of_the_server_are_no_differences() -> None:
    container = {
        "name": "main",
        "image": "example",
        "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}},
        "ports": [{"containerPort": 80}],
    }
    pod = {
        "metadata": {"name": "p", "namespace": "default", "labels": {}, "annotations": {}},
        "spec": {"hostNetwork": False, "initContainers": [], "containers": [container]},
    }
    secret = {"metadata": {"name": "s", "namespace": "default"}, "stringData": {"key": "text"}}
    quota = {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"cpu": "1000m"}}}
    async with server() as (client, writes):
        for resource, body in ((PODS, pod), (SECRETS, secret), (QUOTAS, quota)):
            created = await create_or_apply(client, resource, body)
            again = await create_or_apply(client, resource, body, current=created.object)
            assert (created.result, again.result) == ("created", "unchanged"), resource
        assert writes.count == 3


@virtual_time
async def test_field_managers_do_not_disturb_each_other() -> None:
    async with server() as (client, _):
        long = "a field manager with spaces, and more characters than the name of an annotation may have"
        bodies = {"one": config({"one": "1"}), long: config({"two": "1"})}
        for manager, body in bodies.items():
            await create_or_apply(client, CONFIG_MAPS, body, field_manager=manager, adopt=True)
        for manager, body in bodies.items():
            same = await create_or_apply(client, CONFIG_MAPS, body, field_manager=manager)
            assert same.result == "unchanged"
        found = await client.get(CONFIG_MAPS, "c", "default")
        assert found.view.data == {"one": "1", "two": "1"}
        assert len([one for one in found.annotations if one.startswith(APPLIED_PREFIX)]) == 2


@virtual_time
async def test_wrong_arguments_are_errors_that_name_the_remedy() -> None:
    async with server() as (client, writes):
        other = await client.create(CONFIG_MAPS, config({}, "other"))
        with pytest.raises(
            ValueError, match=r"current=.*other.* is not the object of the body, ConfigMap default/c"
        ):
            await create_or_apply(client, CONFIG_MAPS, config({}), current=other)
        with pytest.raises(ValueError, match=r"ConfigMap 'c' needs a namespace"):
            await create_or_apply(client, CONFIG_MAPS, {"metadata": {"name": "c"}})
        with pytest.raises(ValueError, match=r"a ConfigMap needs a name: metadata.name is empty"):
            await create_or_apply(client, CONFIG_MAPS, {"data": {}})
        assert writes.count == 1


@virtual_time
@pytest.mark.parametrize("code", [401, 403, 500, 503])
async def test_nothing_is_written_if_it_is_not_known_whether_the_object_exists(code: int) -> None:
    """Checklist 131: only a 404 for the object means that it has to be created."""
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        writes = Writes()
        client = cluster.client().with_(field_manager="teams", on_write=writes)
        cluster.faults.add(Answer(code), Match(verb="get", resource="configmaps"))
        with pytest.raises(ApiError) as caught:
            await create_or_apply(client, CONFIG_MAPS, config({"a": "1"}))
        assert (caught.value.status, writes.count) == (code, 0)


# ---- read, modify, write


def increment(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "data": {"n": str(int(body["data"]["n"]) + 1)}}


@virtual_time
async def test_no_change_is_lost_between_concurrent_writers() -> None:
    async with server() as (client, _):
        await client.create(CONFIG_MAPS, config({"n": "0"}))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(read_modify_write(client, CONFIG_MAPS, "c", "default", change=increment))
        assert (await client.get(CONFIG_MAPS, "c", "default")).view.data == {"n": "4"}


@virtual_time
async def test_an_outdated_cached_object_costs_one_more_attempt() -> None:
    async with server() as (client, _):
        old = await client.create(CONFIG_MAPS, config({"n": "0"}))
        await client.patch(CONFIG_MAPS, "c", {"data": {"n": "5"}}, "default")
        seen = []

        def change(body: dict[str, Any]) -> dict[str, Any]:
            seen.append(body["data"]["n"])
            return increment(body)

        written = await read_modify_write(client, CONFIG_MAPS, "c", "default", change=change, current=old)
        assert (seen, written.view.data) == (["0", "5"], {"n": "6"})


@virtual_time
async def test_an_unchanged_body_is_not_written() -> None:
    async with server() as (client, writes):
        await client.create(CONFIG_MAPS, config({"n": "0"}))
        found = await read_modify_write(client, CONFIG_MAPS, "c", "default", change=lambda body: body)
        assert (found.view.data, writes.count) == ({"n": "0"}, 1)


@virtual_time
async def test_an_object_that_was_deleted_is_not_created_again_by_an_update() -> None:
    async with server() as (client, _):
        old = await client.create(CONFIG_MAPS, config({"n": "0"}))
        await client.delete(CONFIG_MAPS, "c", "default")
        with pytest.raises(NotFound):
            await read_modify_write(client, CONFIG_MAPS, "c", "default", change=increment, current=old)


@virtual_time
async def test_a_finalizer_delays_the_deletion_until_it_is_removed() -> None:
    async with server() as (client, _):
        await client.create(CONFIG_MAPS, config({}))

        def change(function: Any) -> Any:
            return lambda body: function(body, "example.org/cleanup")

        await read_modify_write(client, CONFIG_MAPS, "c", "default", change=change(add_finalizer))
        await client.delete(CONFIG_MAPS, "c", "default")
        assert (await client.get(CONFIG_MAPS, "c", "default")).meta.deleting
        await read_modify_write(client, CONFIG_MAPS, "c", "default", change=change(remove_finalizer))
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "c", "default")


@virtual_time
@pytest.mark.parametrize(
    ("metadata", "field"), [({"name": "d"}, "name='d'"), ({"namespace": "other"}, "namespace='other'")]
)
async def test_an_object_cannot_be_renamed_or_moved(metadata: dict[str, str], field: str) -> None:
    """Checklist 131: the new body must be the same object, even if one of that name exists."""
    async with server() as (client, writes):
        await client.create(CONFIG_MAPS, config({"n": "0"}))
        await client.create(CONFIG_MAPS, config({"n": "9"}, "d"))

        def change(body: dict[str, Any]) -> dict[str, Any]:
            return {**body, "metadata": {**body["metadata"], **metadata}}

        with pytest.raises(ValueError, match=rf"metadata\.{field} for ConfigMap default/c: .*client\.create"):
            await read_modify_write(client, CONFIG_MAPS, "c", "default", change=change)
        assert writes.count == 2


@virtual_time
async def test_a_current_object_of_another_name_is_an_error() -> None:
    async with server() as (client, writes):
        other = await client.create(CONFIG_MAPS, config({"n": "0"}, "other"))
        with pytest.raises(
            ValueError, match=r"current=.*other.* is not ConfigMap default/c; pass the object"
        ):
            await read_modify_write(client, CONFIG_MAPS, "c", "default", change=increment, current=other)
        assert writes.count == 1


@virtual_time
async def test_a_new_body_without_a_version_does_not_overwrite_the_change_of_another_writer() -> None:
    async with server() as (client, _):
        old = await client.create(CONFIG_MAPS, config({"n": "0"}))
        await client.patch(CONFIG_MAPS, "c", {"data": {"theirs": "1"}}, "default")

        def change(body: dict[str, Any]) -> dict[str, Any]:
            return {"data": {**body["data"], "mine": "1"}}

        written = await read_modify_write(client, CONFIG_MAPS, "c", "default", change=change, current=old)
        assert written.view.data == {"n": "0", "theirs": "1", "mine": "1"}
        again = await read_modify_write(client, CONFIG_MAPS, "c", "default", change=change)
        assert again.meta.resource_version == written.meta.resource_version


@virtual_time
async def test_a_change_that_returns_nothing_is_an_error() -> None:
    async with server() as (client, _):
        await client.create(CONFIG_MAPS, config({"n": "0"}))
        with pytest.raises(TypeError, match=r"change=.*returned None; return the new body"):
            await read_modify_write(
                client,
                CONFIG_MAPS,
                "c",
                "default",
                change=lambda body: body["data"].clear(),  # type: ignore[arg-type]  # the mistake
            )


@virtual_time
async def test_the_pauses_between_attempts_are_bounded() -> None:
    clock = virtual_clock()
    times: list[float] = []

    async def attempt() -> None:
        times.append(clock.monotonic())
        raise Conflict(409, "Conflict", "always")

    with pytest.raises(Conflict):
        await retry_on_conflict(attempt, clock=clock, max_attempts=10)
    pauses = [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    with pytest.raises(ValueError, match="max_attempts=0: must be at least 1"):
        await retry_on_conflict(attempt, clock=clock, max_attempts=0)


@virtual_time
async def test_a_conflict_about_field_ownership_is_not_retried() -> None:
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        details = {"causes": [{"reason": "FieldManagerConflict", "field": ".data.a"}]}
        raise Conflict(409, "Conflict", "owned", details=details)

    with pytest.raises(Conflict):
        await retry_on_conflict(attempt, clock=virtual_clock())
    assert calls == 1


# ---- models as bodies


def asyncio_config(data: dict[str, str]) -> Any:
    return asyncio_client.V1ConfigMap(
        metadata=asyncio_client.V1ObjectMeta(name="c", namespace="default"), data=data
    )


@virtual_time
async def test_every_write_verb_accepts_models() -> None:
    async with server() as (client, _):
        created = await client.create(CONFIG_MAPS, asyncio_config({"a": "1"}))
        assert created.view.data == {"a": "1"}
        model = asyncio_config({"a": "2"})
        model.metadata.resource_version = created.meta.resource_version
        updated = await client.update(CONFIG_MAPS, model)
        assert updated.view.data == {"a": "2"}
        same = await client.update(CONFIG_MAPS, updated)
        assert same.meta.resource_version == updated.meta.resource_version
        patched = await client.patch(CONFIG_MAPS, "c", asyncio_config({"b": "3"}), "default")
        assert patched.view.data == {"a": "2", "b": "3"}
        applied = await client.apply(CONFIG_MAPS, asyncio_config({"b": "4"}))
        assert applied.view.data == {"a": "2", "b": "4"}
        removed = await client.patch(CONFIG_MAPS, "c", {"data": {"b": None}}, "default")
        assert removed.view.data == {"a": "2"}
        operations = [{"op": "add", "path": "/data/c", "value": "5"}]
        added = await client.patch(CONFIG_MAPS, "c", operations, "default", kind="json")
        assert added.view.data == {"a": "2", "c": "5"}
        assert (await create_or_apply(client, CONFIG_MAPS, asyncio_config({"c": "5"}))).result == "applied"
        same = await read_modify_write(
            client, CONFIG_MAPS, "c", "default", change=lambda _: asyncio_config({"d": "6"})
        )
        assert same.view.data == {"d": "6"}


@virtual_time
async def test_a_body_that_cannot_be_encoded_is_not_sent() -> None:
    async with server() as (client, writes):
        body: dict[str, Any] = config({"a": "1"})
        body["data"]["when"] = object()
        for write in (client.create, client.update, client.apply):
            with pytest.raises(EncodeError, match=r"^data\.when: a value of type builtins\.object"):
                await write(CONFIG_MAPS, body)
        with pytest.raises(EncodeError, match=r"^data\.when: "):
            await client.patch(CONFIG_MAPS, "c", body, "default")
        assert writes.count == 0


@virtual_time
@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"name": "c"},
            r"ConfigMap.* needs a namespace: .*; pass it, or set metadata\.namespace in the body",
        ),
        ("c", r"metadata is a str; use an object"),
        ({"name": 5, "namespace": "default"}, r"metadata\.name is 5; use a text"),
        ({"name": "c", "namespace": ["x"]}, r"metadata\.namespace is \['x'\]; use a text"),
    ],
)
async def test_metadata_that_names_no_object_is_an_error(metadata: Any, message: str) -> None:
    async with server() as (client, writes):
        for write in (client.create, client.update, client.apply):
            with pytest.raises((ValueError, EncodeError), match=message):
                await write(CONFIG_MAPS, {"metadata": metadata, "data": {}})
        assert writes.count == 0


@virtual_time
async def test_a_typed_deployment_is_created_and_read_back() -> None:
    container = k8s.Container(
        name="web",
        image="example",
        ports=(k8s.ContainerPort(container_port=80),),
        resources=k8s.ResourceRequirements(requests={"cpu": "100m"}),
    )
    labels = {"app": "web"}
    body = k8s.Deployment(
        metadata=k8s.ObjectMeta(name="web", namespace="default", labels=labels),
        spec=k8s.DeploymentSpec(
            replicas=2,
            selector=k8s.LabelSelector(match_labels=labels),
            template=k8s.PodTemplateSpec(
                metadata=k8s.ObjectMeta(labels=labels), spec=k8s.PodSpec(containers=(container,))
            ),
        ),
    )
    async with server() as (client, _):
        created = await create_or_apply(client, DEPLOYMENTS, body)
        assert (created.result, created.object.view.spec.replicas) == ("created", 2)
        stored = created.object.view.spec.template.spec.containers[0]
        assert (stored.image, stored.resources.requests) == ("example", {"cpu": "100m"})
        again = await create_or_apply(client, DEPLOYMENTS, body, current=created.object)
        assert again.result == "unchanged"
