"""A manager as a process: its log, metrics, probes and debug pages, and how it ends."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Match, Silence
from aimctl.kubetypes.builtin import LEASES
from aimctl.runtime.manager import Manager
from aimctl.testing import virtual_clock
from support.commands import RunningCommand
from support.ports import reserve_port
from support.served import ServedCluster
from support.waiting import eventually

DOCUMENTS = """
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMClusterModel
metadata: {name: good}
spec: {image: "registry.test/aim-quick:1"}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMClusterModel
metadata: {name: broken}
spec: {image: "registry.test/aim-broken:1"}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {name: works, namespace: team}
spec: {modelName: good, metric: latency, precision: fp16}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {name: fails, namespace: team}
spec: {modelName: broken, metric: latency, precision: fp16}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {name: waits, namespace: team}
spec: {modelName: nowhere, metric: latency, precision: fp16}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMClusterServiceTemplate
metadata: {name: works}
spec: {modelName: good, metric: latency, precision: fp16}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with ServedCluster(tmp_path_factory.mktemp("life"), pace=0.1) as served:
        served.apply(DOCUMENTS)
        yield served


def get(port, path, **headers):
    """The status and the text of a response."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def records_of(command):
    return [json.loads(line) for line in command.lines if line.startswith("{")]


@pytest.fixture(scope="module")
def seen(served):
    """What one manager showed while it ran, and how it ended."""
    metrics, probes = reserve_port(), reserve_port()
    flags = (
        "--kubeconfig", served.kubeconfig("worker"),
        "--leader-elect", "--discovery-limit", "7", "--log-level", "debug",
        "--metrics-bind-address", f"127.0.0.1:{metrics.number}",
        "--health-probe-bind-address", f"127.0.0.1:{probes.number}",
    )  # fmt: skip
    seen = SimpleNamespace(pages={})
    with RunningCommand("manager", *flags) as command:
        command.wait_for("became leader")
        for resource, name, namespace, state in (
            (TEMPLATES, "works", "team", "Ready"),
            (TEMPLATES, "fails", "team", "Failed"),
            (TEMPLATES, "waits", "team", "Pending"),
            (CLUSTER_TEMPLATES, "works", "", "Ready"),
        ):
            eventually(
                lambda r=resource, n=name, ns=namespace, s=state: served.state(r, n, ns) == s,
                30,
                f"{name} is {state}",
                otherwise=lambda: command.text[-2000:],
            )
        seen.health = get(probes.number, "/healthz?verbose")
        seen.ready = get(probes.number, "/readyz")
        seen.one_check = get(probes.number, "/readyz/caches")
        seen.metrics = get(metrics.number, "/metrics")[1]
        seen.index = get(metrics.number, "/debug")
        for page in ("discovery", "queues", "controllers", "caches", "election", "tasks"):
            seen.pages[page] = get(metrics.number, f"/debug/{page}")
        seen.json_page = get(metrics.number, "/debug/controllers", Accept="application/json")
        seen.no_page = get(metrics.number, "/debug/secrets")
        seen.debug_on_probes = get(probes.number, "/debug")
        seen.lease_before = served.ask(lambda client: client.get(LEASES, "aimctl-manager", "kaiwo-system"))
        seen.code = command.stop(signal.SIGTERM)
        seen.text, seen.records = command.text, records_of(command)
        seen.lease_after = served.ask(lambda client: client.get(LEASES, "aimctl-manager", "kaiwo-system"))
    metrics.release()
    probes.release()
    seen.samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(seen.metrics)
        for sample in family.samples
    }
    return seen


# ---- the log


def test_every_line_of_the_log_is_one_json_object(seen):
    lines = seen.text.splitlines()
    assert len(seen.records) == len(lines)
    for record in seen.records:
        assert {"time", "level", "event", "logger"} <= set(record)


def test_a_record_of_a_reconcile_has_controller_kind_object_and_reconcile_id(seen):
    keys = {"controller", "kind", "namespace", "name", "reconcile_id"}
    about = [record for record in seen.records if "reconcile_id" in record]
    assert about
    assert all(keys <= set(record) for record in about)
    works = {(record["controller"], record["kind"], record["namespace"], record["name"]) for record in about}
    assert ("discovery", "AIMServiceTemplate", "team", "works") in works
    assert ("templates", "AIMServiceTemplate", "team", "works") in works
    assert ("clusterdiscovery", "AIMClusterServiceTemplate", "", "works") in works


def test_a_reconciles_id_is_shared_by_its_lines_and_by_no_other_reconcile(seen):
    of = {}
    for record in seen.records:
        if "reconcile_id" in record:
            of.setdefault(record["reconcile_id"], set()).add(
                (record["controller"], record["namespace"], record["name"])
            )
    assert len(of) > 10
    assert [objects for objects in of.values() if len(objects) > 1] == []


def test_the_log_shows_no_error_when_only_templates_fail(seen):
    assert [record for record in seen.records if record["level"] in {"error", "critical"}] == []


# ---- metrics


def value(seen, name, /, **labels):
    return seen.samples[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize(
    "name",
    [
        "workqueue_depth",
        "workqueue_adds_total",
        "workqueue_queue_duration_seconds_bucket",
        "workqueue_work_duration_seconds_bucket",
        "workqueue_retries_total",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
        "controller_runtime_reconcile_total",
        "controller_runtime_reconcile_errors_total",
        "controller_runtime_reconcile_time_seconds_bucket",
        "controller_runtime_max_concurrent_reconciles",
        "controller_runtime_active_workers",
        "leader_election_master_status",
        "rest_client_requests_total",
        "aim_discovery_pending_templates",
        "aim_discovery_jobs_running",
        "aim_discovery_jobs_limit",
        "aim_discovery_wait_seconds_bucket",
        "aim_discovery_duration_seconds_bucket",
        "aim_templates",
        "process_resident_memory_bytes",
    ],
)
def test_metrics_have_the_names_that_dashboards_use(seen, name):
    assert name in {sample for sample, _ in seen.samples}


def test_the_metrics_of_the_operator_are_correct(seen):
    assert value(seen, "aim_discovery_jobs_limit") == 7
    assert value(seen, "aim_discovery_jobs_running") == 0
    assert value(seen, "aim_discovery_pending_templates") == 0
    assert value(seen, "aim_discovery_wait_seconds_count") == 3
    assert value(seen, "aim_discovery_duration_seconds_count", result="succeeded") == 2
    assert value(seen, "aim_discovery_duration_seconds_count", result="failed") == 1
    assert value(seen, "aim_templates", scope="Namespace", status="Ready") == 1
    assert value(seen, "aim_templates", scope="Namespace", status="Failed") == 1
    assert value(seen, "aim_templates", scope="Namespace", status="Pending") == 1
    assert value(seen, "aim_templates", scope="Cluster", status="Ready") == 1
    assert value(seen, "aim_templates", scope="Cluster", status="Failed") == 0


def test_the_metrics_of_the_runtime_are_correct(seen):
    assert value(seen, "leader_election_master_status", name="aimctl-manager") == 1
    assert value(seen, "controller_runtime_max_concurrent_reconciles", controller="discovery") == 4
    assert value(seen, "controller_runtime_max_concurrent_reconciles", controller="discovery-admission") == 1
    assert value(seen, "workqueue_adds_total", name="templates", controller="templates") > 2
    assert value(seen, "workqueue_depth", name="templates", controller="templates", priority="0") == 0
    results = {
        dict(labels)["code"]
        for (name, labels), count in seen.samples.items()
        if name == "rest_client_requests_total" and count
    }
    assert {"200", "201"} <= results


# ---- probes and pages


def controllers():
    """The names of the operator's controllers."""
    manager = Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock())
    add_controllers(manager, OperatorOptions())
    return set(manager.controllers)


def test_the_probes_answer_and_name_their_checks(seen):
    status, text = seen.health
    assert status == 200
    assert "[+]event-loop ok" in text
    assert "[+]leader-election ok" in text
    assert seen.ready == (200, "ok")
    assert seen.one_check == (200, "ok")


def test_the_debug_pages_are_listed_and_each_can_be_read(seen):
    status, index = seen.index
    assert status == 200
    for page, (code, text) in seen.pages.items():
        assert f"/debug/{page}" in index
        assert code == 200, page
        assert text.isprintable() or "\n" in text
    assert seen.pages["discovery"][1] == "none\n"
    assert "aimservicetemplates" in seen.pages["caches"][1]
    assert "clusterdiscovery" in seen.pages["controllers"][1]
    assert any(line.split() == ["leads", "yes"] for line in seen.pages["election"][1].splitlines())


def test_programs_get_the_same_pages_as_json(seen):
    status, text = seen.json_page
    assert status == 200
    assert {row["controller"] for row in json.loads(text)} == controllers()


def test_there_are_no_other_pages_and_none_on_the_probe_port(seen):
    assert seen.no_page[0] == 404
    assert seen.debug_on_probes[0] == 404


# ---- the end


def test_sigterm_ends_it_with_0_and_releases_the_lease(seen):
    assert seen.code == 0
    assert seen.lease_before.view.spec.holder_identity
    assert not seen.lease_after.view.spec.holder_identity
    events = [record["event"] for record in seen.records]
    assert events[-1] == "stopped"
    assert events.count("controller stopped") == len(controllers())


QUIET = ("--metrics-bind-address", "0", "--health-probe-bind-address", "0")


def test_a_second_signal_ends_it_at_once_with_1(seen, served):
    """It runs after ``seen``, whose counts it would change. Status writes get no response, so a graceful end takes long."""
    served.apply(DOCUMENTS.replace("name: works, namespace", "name: hangs, namespace"))
    fault = served.call(lambda c: c.faults.add(Silence(), Match(verb="patch", subresource="status")))
    try:
        with RunningCommand("manager", "--kubeconfig", served.kubeconfig("second"), *QUIET) as command:
            eventually(lambda: fault.hits, 30, "a write hangs", otherwise=lambda: command.text)
            command.send(signal.SIGTERM)
            command.wait_for("a second signal exits at once")
            command.send(signal.SIGINT)
            assert command.wait(5) == 1
            assert "second signal, exiting now" in command.text
            assert "Traceback" not in command.text
    finally:
        served.call(lambda c: c.faults.remove(fault))


def test_a_leader_whose_lease_is_taken_ends_with_1_and_one_line(tmp_path):
    with ServedCluster(tmp_path, controllers=False) as served:
        flags = (*QUIET, "--leader-elect", "--leader-election-namespace", "default")
        with RunningCommand("manager", "--kubeconfig", served.kubeconfig(), *flags) as command:
            command.wait_for("became leader")
            theirs = {"spec": {"holderIdentity": "another-manager"}}
            served.ask(lambda client: client.patch(LEASES, "aimctl-manager", theirs, "default"))
            assert command.wait(20) == 1
            last = json.loads(command.lines[-1])
            assert (last["level"], last["event"]) == ("error", "the manager ended")
            assert "another-manager" in last["error"]
            assert "Traceback" not in command.text
            lease = served.ask(lambda client: client.get(LEASES, "aimctl-manager", "default"))
            assert lease.view.spec.holder_identity == "another-manager"
