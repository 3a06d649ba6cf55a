"""``aimctl explain`` on what the operator itself reports: the root cause of each kind of trouble, and its remedy.

The operator runs on the embedded cluster in virtual time; each case has a namespace of its own.
"""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.cli.connect import Connected
from aimctl.cli.kinds import find_kind
from aimctl.cli.pages.explain import explain_page
from aimctl.cli.questions.answers import Question
from aimctl.cli.questions.explanation import explain
from aimctl.cli.questions.queue import queue_of
from aimctl.cli.questions.reading import read_path, read_queue_lists
from aimctl.cli.questions.remedies import advice, commands
from aimctl.runtime.kube import ConnectionInfo
from aimctl.testing.virtualtime import run_virtual
from support.operator import OPERATOR_NAMESPACE, world

GPU = {"count": 1, "model": "MI300X"}
NO_GPU = {"count": 2, "model": "H100"}
SECRET = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "nosuch", "key": "token"}}}


def template(name="t", image=None, **spec):
    """A template of the model ``m`` of the case's namespace, or of a model of its own with this image."""
    model = {"kind": "AIMModel", "name": f"m-{name}", "image": image, "discovery": {"enabled": False}}
    own = [model] if image else []
    return [
        *own,
        {"kind": "AIMServiceTemplate", "name": name, "modelName": f"m-{name}" if image else "m", **spec},
    ]


def static(source, size="20Gi", **spec):
    sources = [{"name": "w", "sourceURI": source, "size": size}]
    return {"kind": "AIMServiceTemplate", "name": "t", "modelName": "m", "modelSources": sources, **spec}


def service(model="m", **spec):
    chosen = {"image": model} if ":" in model else {"ref": model}
    return {"kind": "AIMService", "name": "s", "model": chosen, **spec}


def cache(template_ref="t", **spec):
    return {"kind": "AIMTemplateCache", "name": "c", "templateRef": template_ref, **spec}


FP = {"metric": "latency", "gpuSelector": GPU}

# Objects of a namespace; kind and name to explain; kinds on the path; reason of the root cause; words of its report.
CASES = {
    "missing-model": ([service("lama")], "aimsvc/s", ["AIMService", "AIMModel"], "ModelNotFound", "create"),
    "missing-config": (
        [service(runtimeConfigName="special")],
        "aimsvc/s",
        ["AIMService", "AIMRuntimeConfig"],
        "RuntimeConfigNotFound",
        "create",
    ),
    "missing-template": (
        [service(templateRef="nope")],
        "aimsvc/s",
        ["AIMService", "AIMServiceTemplate"],
        "TemplateNotFound",
        "create",
    ),
    "ambiguous": (
        [
            *template("a", precision="fp16", **FP),
            *template("b", precision="fp8", **FP),
            *template("c", precision="fp16", gpuSelector=NO_GPU),
            service(),
        ],
        "aimsvc/s",
        ["AIMService"],
        "TemplateSelectionAmbiguous",
        "spec.templateRef",
    ),
    "several-bases": (
        [
            *template("a", precision="fp16", **FP),
            *template("b", precision="fp8", **FP),
            service(overrides={"metric": "latency", "precision": "int4"}),
        ],
        "aimsvc/s",
        ["AIMService"],
        "TemplateSelectionAmbiguous",
        "spec.templateRef",
    ),
    "no-gpu": (
        [*template(gpuSelector=NO_GPU), service(templateRef="t")],
        "aimsvc/s",
        ["AIMService", "AIMServiceTemplate"],
        "GPUNotAvailable",
        "H100",
    ),
    "derived-without-gpu": (
        [*template(**FP), service(templateRef="t", overrides={"gpuSelector": NO_GPU})],
        "aimsvc/s",
        ["AIMService", "AIMServiceTemplate"],
        "GPUNotAvailable",
        "H100",
    ),
    "missing-secret": (
        [*template(env=[SECRET]), service(templateRef="t")],
        "aimsvc/s",
        ["AIMService", "AIMServiceTemplate"],
        "DiscoveryFailed",
        "create",
    ),
    "only-candidate-failed": (
        [*template(image="aim-broken:1"), service("m-t")],
        "aimsvc/s",
        ["AIMService", "AIMServiceTemplate"],
        "DiscoveryFailed",
        "spec.image",
    ),
    "refused-pull": (
        template(image="aim-refused:1"),
        "aimst/t",
        ["AIMServiceTemplate"],
        "DiscoveryFailed",
        "Create a pull secret in namespace 'refused-pull', and name it in imagePullSecrets",
    ),
    "crash": (
        template(image="aim-crashing:1"),
        "aimst/t",
        ["AIMServiceTemplate"],
        "DiscoveryFailed",
        "exit code 3",
    ),
    "unschedulable": (
        [*template(image="aim-unschedulable:1"), service("m-t", templateRef="t")],
        "aimsvc/s",
        ["AIMService", "AIMServiceTemplate", "Job", "Pod"],
        "Unschedulable",
        "nodes are available",
    ),
    "slow": (
        template(image="aim-slow:1"),
        "aimst/t",
        ["AIMServiceTemplate", "Job"],
        "DiscoveryRunning",
        "running",
    ),
    "image-without-labels": (
        [service("registry.example/aim-plain:1")],
        "aimsvc/s",
        ["AIMService", "AIMModel"],
        "NoLabels",
        "create",
    ),
    "cache-without-token": (
        [static("hf://example/gated-7b"), service(templateRef="t", cacheModel=True)],
        "aimsvc/s",
        ["AIMService", "AIMTemplateCache", "AIMModelCache"],
        "AccessDenied",
        "HF_TOKEN",
    ),
    "template-without-source": (
        [static("hf://example/absent-7b", caching={"enabled": True})],
        "aimst/t",
        ["AIMServiceTemplate", "AIMTemplateCache", "AIMModelCache"],
        "SourceNotFound",
        "URI",
    ),
    "slow-download": (
        [static("hf://example/slow-7b"), cache()],
        "aimtc/c",
        ["AIMTemplateCache", "AIMModelCache", "Job"],
        "Downloading",
        "running",
    ),
    "volume-full": (
        [static("hf://example/slow-7b", "1Gi"), cache()],
        "aimtc/c",
        ["AIMTemplateCache", "AIMModelCache"],
        "VolumeFull",
        "spec.size",
    ),
    "missing-storage-class": (
        [static("hf://example/a"), cache(storageClassName="fast")],
        "aimtc/c",
        ["AIMTemplateCache", "AIMModelCache", "StorageClass"],
        "StorageClassNotFound",
        "create",
    ),
    "cache-of-nothing": (
        [cache("nope")],
        "aimtc/c",
        ["AIMTemplateCache", "AIMServiceTemplate"],
        "TemplateNotFound",
        "create",
    ),
    "model-of-failed-template": (
        template(image="aim-broken:1"),
        "aimmdl/m-t",
        ["AIMModel", "AIMServiceTemplate"],
        "DiscoveryFailed",
        "spec.image",
    ),
    "waits-for-a-slot": (
        [*template(), service(templateRef="t")],
        "aimsvc/s",
        ["AIMService", "AIMServiceTemplate"],
        "AwaitingDiscovery",
        "slots",
    ),
}
LAST = "waits-for-a-slot"


async def apply(w, namespace, objects):
    await w.namespace(namespace)
    model = {"kind": "AIMModel", "name": "m", "image": "aim-m:1", "discovery": {"enabled": False}}
    for item in [model, *objects]:
        resource = next(one for one in kinds.OPERATOR_KINDS if one.kind == item["kind"])
        spec = {key: value for key, value in item.items() if key not in ("kind", "name")}
        metadata = {"name": item["name"], "namespace": namespace}
        await w.client.apply(
            resource,
            {"apiVersion": resource.api_version, "kind": item["kind"], "metadata": metadata, "spec": spec},
        )


HAS_LOG = {"crash": True, "cache-without-token": True, "missing-secret": False, "refused-pull": False}
"""Whether a container has run behind the root cause."""


async def explained(w, namespace, words):
    word, _, name = words.partition("/")
    resource = next(one for one in kinds.OPERATOR_KINDS if one.kind == find_kind(word).name)
    question = Question(resource, namespace, name)
    facts = await read_path(w.client, w.cluster.clock.now(), question, OPERATOR_NAMESPACE)
    return explain(facts.answers[question], facts, OPERATOR_NAMESPACE)


async def document(w, namespace, words):
    """What ``aimctl explain -o json`` prints."""
    word, _, name = words.partition("/")
    link = Connected(w.client, ConnectionInfo("http://embedded"), w.cluster.clock)
    page = await explain_page(
        link,
        find_kind(word).name,
        name,
        namespace,
        discovery_limit=None,
        operator_namespace=OPERATOR_NAMESPACE,
    )
    return page.data


async def play():
    """The explanation of every case, the queue at the end, and some documents."""
    async with world(events=True) as w:
        for services in (False, True):
            for namespace, (objects, *_) in CASES.items():
                if namespace != LAST:
                    await apply(
                        w, namespace, [one for one in objects if (one["kind"] == "AIMService") is services]
                    )
            if not services:
                w.start(discovery_limit=20)
            await asyncio.sleep(100)
        found = {name: await explained(w, name, case[1]) for name, case in CASES.items() if name != LAST}
        for number in range(18):
            await w.model(f"endless-{number}", image="aim-endless:1", discovery={"enabled": False})
            await w.template(f"endless-{number}", model=f"endless-{number}")
        await asyncio.sleep(5)
        await apply(w, LAST, CASES[LAST][0])
        await asyncio.sleep(5)
        found[LAST] = await explained(w, LAST, CASES[LAST][1])
        lists = await read_queue_lists(w.client, w.cluster.clock.now(), LAST, OPERATOR_NAMESPACE)
        documents = {name: await document(w, name, CASES[name][1]) for name in HAS_LOG}
        return found, queue_of(lists, 20), documents


@pytest.fixture(scope="module")
def scene():
    return run_virtual(play())


@pytest.mark.parametrize("case", CASES)
def test_the_root_cause_is_the_one_that_the_operator_reports(scene, case):
    _, _, path, reason, words = CASES[case]
    found = scene[0][case]
    assert [node.health.kind for node in found.root.walk()] == path
    (cause,) = found.causes
    assert (cause.health.reason, found.root.health.ready) == (reason, False)
    assert words in f"{cause.reported.message} {advice(cause)}"
    assert cause.reported.message in found.summary


@pytest.mark.parametrize("case", CASES)
def test_each_cause_has_a_command(scene, case):
    found = scene[0][case]
    (cause,) = found.causes
    for command in commands(cause, found, OPERATOR_NAMESPACE):
        assert command.startswith(("kubectl ", "aimctl "))
        assert "{" not in command or "templateRef" in command


@pytest.mark.parametrize("case", HAS_LOG)
def test_a_log_is_suggested_if_a_container_has_run(scene, case):
    (cause,) = scene[2][case]["causes"]
    assert any(command.startswith("aimctl logs ") for command in cause["commands"]) is HAS_LOG[case]


def test_all_candidates_of_an_ambiguous_service_are_listed(scene):
    steps = {one.name: one.dropped_by for one in scene[0]["ambiguous"].candidates}
    assert steps == {"a": "Selection", "b": "Selection", "c": "Ready"}


def test_a_template_without_a_slot_has_a_place_in_the_queue(scene):
    found, queue, _ = scene
    mine = found[LAST].waiting_template
    (waiting,) = queue.waiting
    assert (waiting.place, waiting.uid) == (1, mine.uid)
    assert waiting.awaited_by == (f"{LAST}/s",)
    assert [item.namespace for item in queue.later] == ["refused-pull"], "its discovery is retried later"
    assert len(queue.running) == 20


async def runtime():
    """The explanations of a service without KServe, with a failing InferenceService, and Running."""
    async with world(events=True) as w:
        await apply(w, "team", [*template(**FP), service(templateRef="t")])
        w.start()
        await asyncio.sleep(30)
        found = [await explained(w, "team", "aimsvc/s")]
        await w.install_kserve()
        await asyncio.sleep(400)
        found.append(await explained(w, "team", "aimsvc/s"))
        outcome = {"metadata": {"annotations": {"simulated.aimctl/outcome": "fail: no such model"}}}
        await w.client.patch(kinds.INFERENCE_SERVICES, "s", outcome, "team")
        await asyncio.sleep(30)
        return [*found, await explained(w, "team", "aimsvc/s")]


def test_a_service_is_explained_by_its_runtime():
    absent, running, failing = run_virtual(runtime())
    assert [cause.health.reason for cause in absent.causes] == ["RuntimeNotInstalled"]
    assert "KServe" in absent.causes[0].health.message
    assert (running.root.health.ready, running.causes) == (True, ())
    assert [node.health.kind for node in failing.root.walk()] == ["AIMService", "InferenceService"]
    (cause,) = failing.causes
    assert "no such model" in cause.health.message
    assert cause.report.reason == "RuntimeNotReady"
