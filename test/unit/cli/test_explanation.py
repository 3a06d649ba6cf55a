"""``aimctl explain`` without a server: the path from an object to the root cause, and what is suggested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aimctl.controllers
import aimctl.domain
from aimctl.api.v1alpha1 import CacheState, ModelState, ServiceState, TemplateState
from aimctl.cli.pages.explain import render
from aimctl.cli.questions.answers import Question
from aimctl.cli.questions.explanation import LONGEST_PATH, explain
from aimctl.cli.questions.pods import has_log
from aimctl.cli.questions.references import RULES
from aimctl.cli.questions.remedies import advice, commands
from aimctl.cli.suggestions import Typed, typed
from support.facts import (
    Paper,
    at,
    condition,
    job,
    kind_of,
    model,
    pod,
    reference,
    service,
    status,
    template,
    thing,
)
from support.words import words_of

OPERATOR = "kaiwo-system"
SOURCE = "hf://meta/llama"


def explained(paper, word, name, namespace="team"):
    resource = kind_of(word)
    question = Question(resource, namespace if resource.namespaced else "", name)
    return explain(paper[question], paper.facts(), OPERATOR)


def path(found):
    """Kind and name of each object on the path, in the order in which the tree shows them."""
    return [f"{node.health.kind} {node.health.name}" for node in found.root.walk()]


def causes(found):
    return {(one.health.kind, one.health.name, one.health.reason) for one in found.causes}


def suggested(found, **options):
    return [command for cause in found.causes for command in commands(cause, found, OPERATOR, **options)]


def lines(found, paper, width=None):
    each = {cause: commands(cause, found, OPERATOR) for cause in found.causes}
    return [line.plain for line in render(found, paper.facts(), each, None, width)]


def cache(state, name="llama", models=(), template_ref="llama"):
    listed = [
        {"modelCache": one, "source": SOURCE, "name": one, "status": word}
        for one, word in dict(models).items()
    ]
    spec = {"templateRef": template_ref}
    return thing("AIMTemplateCache", name, "team", spec=spec, status={**state, "models": listed})


def model_cache(state, name="weights", **spec):
    spec = {"sourceURI": SOURCE, "size": "16Gi", **spec}
    return thing("AIMModelCache", name, "team", spec=spec, status=state)


def candidate(name, step, message="", scope="Namespace"):
    return {"name": name, "scope": scope, "droppedBy": step, "message": message}


def chosen(name, scope="Cluster"):
    return {"name": name, "scope": scope, "selected": True}


def claim(phase):
    return thing("PersistentVolumeClaim", "weights", "team", status={"phase": phase})


def warning(about, reason, message, type_="Warning"):
    involved = {"uid": about.meta.uid}
    return thing(
        "Event", f"{reason}.1", "team", type=type_, reason=reason, message=message, involvedObject=involved
    )


def waiting_pod(owner, reason, message):
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(owner, containerStatuses=[{"name": "main", "state": state}])


AWAITING = status(
    "Pending",
    "AwaitingDiscovery",
    "waits for one of the cluster's discovery slots",
    condition("Discovered", False, "AwaitingDiscovery"),
)
RUNNING = status("Progressing", "DiscoveryRunning", "the Job runs")
MISSING_SECRET = "secret 'hf' was not found; create it"
waiting, running = template(state=AWAITING), template(state=RUNNING)
failed = template(state=status("Failed", "DiscoveryFailed", MISSING_SECRET))
without_gpu = template(state=status("NotAvailable", "GPUNotAvailable"), gpuSelector={"model": "MI355X"})
warming = template(state=status("Progressing", "Warming"), caching={"enabled": True})
DERIVED = "llama-ovr-12345678"
derived = template(DERIVED, state=status("Pending", "WarmRequested"), caching={"enabled": True})
discovery = job(running, active=1)
starting = model_cache(status("Progressing", "DownloadWaiting", persistentVolumeClaim="weights"))
download = job(starting, "download-weights", component="download", active=1)


def uses(used, reason="TemplateNotReady", state="Starting", *more, **spec):
    return service(state=status(state, reason, "", *more, resolvedTemplate=reference(used)), **spec)


def unresolved(reason, *matches, state="Failed", **spec):
    resolved = condition("Resolved", False, reason)
    return service(state=status(state, reason, "", resolved, templateMatching=list(matches)), **spec)


def without_templates(found):
    resolved = condition("Resolved", False, "TemplateNotFound")
    image = reference(model())
    return service(
        state=status("Failed", "TemplateNotFound", "no template", resolved, resolvedImage=image)
    ), found


def unread_image(state, reason):
    return model(state=status(state, reason, "", condition("MetadataExtracted", False, reason, "404")))


# Objects; what is explained; the path; the causes as kind, name and reason.
CASES = {
    "a missing model": (
        [template(state=status("Pending", "ModelNotFound"))],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama", "AIMModel llama"],
        {("AIMServiceTemplate", "llama", "ModelNotFound")},
    ),
    "a missing model of a cluster template, which sees cluster models only": (
        [template("base", "", state=status("Pending", "ModelNotFound")), model()],
        ("aimclst", "base"),
        ["AIMClusterServiceTemplate base", "AIMClusterModel llama"],
        {("AIMClusterServiceTemplate", "base", "ModelNotFound")},
    ),
    "a missing runtime config": (
        [template(state=status("Pending", "RuntimeConfigNotFound"), runtimeConfigName="special")],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama", "AIMRuntimeConfig special"],
        {("AIMServiceTemplate", "llama", "RuntimeConfigNotFound")},
    ),
    "a GPU that no node offers": (
        [without_gpu],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "GPUNotAvailable")},
    ),
    "a discovery that failed: the operator has read its Job": (
        [failed, job(failed, ended="Failed", message="over")],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryFailed")},
    ),
    "a service whose template waits for a slot": (
        [uses(waiting), waiting],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "AwaitingDiscovery")},
    ),
    "a pod whose image cannot be pulled": (
        [uses(running), running, discovery, waiting_pod(discovery, "ImagePullBackOff", "denied")],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate llama", "Job discover-llama", "Pod discover-llama-x"],
        {("Pod", "discover-llama-x", "ImagePullBackOff")},
    ),
    "a pod that no node takes": (
        [
            running,
            discovery,
            pod(discovery, conditions=[condition("PodScheduled", False, "Unschedulable", "taints")]),
        ],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama", "Job discover-llama", "Pod discover-llama-x"],
        {("Pod", "discover-llama-x", "Unschedulable")},
    ),
    "a pod that states nothing: its newest warning": (
        [running, discovery, pod(discovery), warning(pod(discovery), "FailedMount", "no such volume")],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama", "Job discover-llama", "Pod discover-llama-x", "Event FailedMount.1"],
        {("Event", "FailedMount.1", "FailedMount")},
    ),
    "a Job without a pod: the warning of its controller": (
        [running, discovery, warning(discovery, "FailedCreate", "exceeded quota")],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama", "Job discover-llama", "Event FailedCreate.1"],
        {("Event", "FailedCreate.1", "FailedCreate")},
    ),
    "a pod that runs": (
        [running, discovery, pod(discovery, "Running")],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama", "Job discover-llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryRunning")},
    ),
    "an object without a status": (
        [template(state=None)],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "NotReconciled")},
    ),
    "a service that names a missing template": (
        [unresolved("TemplateNotFound", state="Pending", templateRef="nope")],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate nope"],
        {("AIMService", "chat", "TemplateNotFound")},
    ),
    "several templates that fit: never another template's missing GPU": (
        [
            unresolved(
                "TemplateSelectionAmbiguous",
                candidate("a", "Selection"),
                candidate("b", "Selection"),
                candidate("llama", "Ready", "no GPU"),
            ),
            without_gpu,
        ],
        ("aimsvc", "chat"),
        ["AIMService chat"],
        {("AIMService", "chat", "TemplateSelectionAmbiguous")},
    ),
    "none of several templates fits: the service's own report lists them": (
        [
            unresolved(
                "TemplateNotFound", candidate("a", "Overrides"), candidate("llama", "Ready", "no GPU")
            ),
            without_gpu,
        ],
        ("aimsvc", "chat"),
        ["AIMService chat"],
        {("AIMService", "chat", "TemplateNotFound")},
    ),
    "of several templates, the one that failed, and not the one that lacks its GPU": (
        [
            unresolved(
                "TemplateNotFound", candidate("llama", "Ready", "it is Failed"), candidate("b", "Ready")
            ),
            failed,
            template("b", state=status("NotAvailable", "GPUNotAvailable")),
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryFailed")},
    ),
    "the only template is not Ready": (
        [unresolved("TemplateNotFound", candidate("llama", "Ready", "it is Failed")), failed],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryFailed")},
    ),
    "candidates that may become Ready, and not those that failed": (
        [
            unresolved(
                "TemplateNotReady", candidate("llama", "Ready"), candidate("b", "Ready"), state="Starting"
            ),
            waiting,
            template("b", state=status("Failed", "DiscoveryFailed")),
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "AwaitingDiscovery")},
    ),
    "candidates that may become Ready, and not the template of the last configuration": (
        [
            service(
                state=status(
                    "Starting",
                    "TemplateNotReady",
                    "",
                    condition("Resolved", False, "TemplateNotReady"),
                    resolvedTemplate=reference(template("former")),
                    templateMatching=[candidate("former", "Overrides"), candidate("llama", "Ready")],
                )
            ),
            template("former"),
            running,
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryRunning")},
    ),
    "a derived template with a cache, down to the volume claim": (
        [
            uses(derived),
            derived,
            cache(status("Pending", "WarmRequested"), DERIVED, {"weights": "Pending"}, DERIVED),
            starting,
            claim("Pending"),
            warning(claim("Pending"), "ProvisioningFailed", "no space"),
            without_gpu,
        ],
        ("aimsvc", "chat"),
        [
            "AIMService chat",
            f"AIMServiceTemplate {DERIVED}",
            f"AIMTemplateCache {DERIVED}",
            "AIMModelCache weights",
            "PersistentVolumeClaim weights",
            "Event ProvisioningFailed.1",
        ],
        {("Event", "ProvisioningFailed.1", "ProvisioningFailed")},
    ),
    "a derived template of a cluster template that cannot be discovered": (
        [
            uses(template(DERIVED, state=status("Failed", "DiscoveryFailed")), templateRef="base"),
            template(DERIVED, state=status("Failed", "DiscoveryFailed")),
            template("base", ""),
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", f"AIMServiceTemplate {DERIVED}"],
        {("AIMServiceTemplate", DERIVED, "DiscoveryFailed")},
    ),
    "a base template that is being deleted": (
        [
            unresolved("BaseTemplateNotFound", state="Starting", templateRef="llama"),
            template(meta={"deletionTimestamp": at(5), "finalizers": ["example.org/hold"]}),
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "Deleting")},
    ),
    "a base template that was selected and is being deleted": (
        [
            unresolved("BaseTemplateNotFound", chosen("base"), state="Starting"),
            template("base", "", meta={"deletionTimestamp": at(5), "finalizers": ["example.org/hold"]}),
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMClusterServiceTemplate base"],
        {("AIMClusterServiceTemplate", "base", "Deleting")},
    ),
    "a suspended discovery Job": (
        [running, job(running, suspend=True)],
        ("aimst", "llama"),
        ["AIMServiceTemplate llama", "Job discover-llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryRunning")},
    ),
    "a model whose image cannot be read, and so has no templates": (
        without_templates(unread_image("Failed", "ImageNotFound")),
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMModel llama"],
        {("AIMModel", "llama", "ImageNotFound")},
    ),
    "a model whose image has no labels, and so has no templates": (
        without_templates(unread_image("Ready", "NoLabels")),
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMModel llama"],
        {("AIMModel", "llama", "NoLabels")},
    ),
    "a model whose image is not read, and so recommends no templates": (
        without_templates(unread_image("Ready", "Disabled")),
        ("aimsvc", "chat"),
        ["AIMService chat"],
        {("AIMService", "chat", "TemplateNotFound")},
    ),
    "a cluster without KServe": (
        [uses(template(), "RuntimeNotInstalled"), template()],
        ("aimsvc", "chat"),
        ["AIMService chat"],
        {("AIMService", "chat", "RuntimeNotInstalled")},
    ),
    "an InferenceService that is not Ready, down to its pod": (
        [
            uses(template(), "RuntimeNotReady", "Degraded"),
            thing(
                "InferenceService",
                "chat",
                "team",
                status={"conditions": [condition("Ready", False, "PredictorNotReady", "wait")]},
            ),
            thing(
                "Pod",
                "predictor",
                "team",
                meta={"labels": {"serving.kserve.io/inferenceservice": "chat"}},
                status={
                    "phase": "Running",
                    "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
                },
            ),
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", "InferenceService chat", "Pod predictor"],
        {("Pod", "predictor", "CrashLoopBackOff")},
    ),
    "a service through template, caches and download to a pod": (
        [
            uses(warming),
            warming,
            cache(status("Progressing", "Warming"), models={"weights": "Progressing"}),
            starting,
            claim("Bound"),
            download,
            waiting_pod(download, "CreateContainerConfigError", "secret 'hf' not found"),
        ],
        ("aimsvc", "chat"),
        [
            "AIMService chat",
            "AIMServiceTemplate llama",
            "AIMTemplateCache llama",
            "AIMModelCache weights",
            "Job download-weights",
            "Pod download-weights-x",
            "PersistentVolumeClaim weights",
        ],
        {("Pod", "download-weights-x", "CreateContainerConfigError")},
    ),
    "a service that caches by itself, and a download that failed": (
        [
            uses(template(), "CacheFailed", cacheModel=True),
            template(),
            cache(status("Failed", "WarmFailed"), models={"weights": "Failed", "other": "Progressing"}),
            model_cache(status("Failed", "AccessDenied", "the token was refused")),
            model_cache(status("Progressing", "Downloading"), "other"),
        ],
        ("aimsvc", "chat"),
        ["AIMService chat", "AIMTemplateCache llama", "AIMModelCache weights"],
        {("AIMModelCache", "weights", "AccessDenied")},
    ),
    "several model caches, each with its own cause": (
        [
            cache(status("Failed", "WarmFailed"), models={"weights": "Failed", "other": "Failed"}),
            model_cache(status("Failed", "AccessDenied")),
            model_cache(status("Failed", "VolumeFull"), "other"),
        ],
        ("aimtc", "llama"),
        ["AIMTemplateCache llama", "AIMModelCache weights", "AIMModelCache other"],
        {("AIMModelCache", "weights", "AccessDenied"), ("AIMModelCache", "other", "VolumeFull")},
    ),
    "a missing storage class": (
        [model_cache(status("Pending", "StorageClassNotFound"), storageClassName="fast")],
        ("aimmc", "weights"),
        ["AIMModelCache weights", "StorageClass fast"],
        {("AIMModelCache", "weights", "StorageClassNotFound")},
    ),
    "a cluster without a default storage class": (
        [model_cache(status("Pending", "NoDefaultStorageClass"))],
        ("aimmc", "weights"),
        ["AIMModelCache weights"],
        {("AIMModelCache", "weights", "NoDefaultStorageClass")},
    ),
    "a volume that is lost": (
        [model_cache(status("Failed", "VolumeLost", persistentVolumeClaim="weights")), claim("Lost")],
        ("aimmc", "weights"),
        ["AIMModelCache weights", "PersistentVolumeClaim weights"],
        {("AIMModelCache", "weights", "VolumeLost")},
    ),
    "a volume that is not provisioned": (
        [starting, claim("Pending"), warning(claim("Pending"), "ProvisioningFailed", "no space")],
        ("aimmc", "weights"),
        ["AIMModelCache weights", "PersistentVolumeClaim weights", "Event ProvisioningFailed.1"],
        {("Event", "ProvisioningFailed.1", "ProvisioningFailed")},
    ),
    "a template cache of a missing template": (
        [cache(status("Pending", "TemplateNotFound"), template_ref="nope")],
        ("aimtc", "llama"),
        ["AIMTemplateCache llama", "AIMServiceTemplate nope"],
        {("AIMTemplateCache", "llama", "TemplateNotFound")},
    ),
    "a template cache of a template whose discovery failed": (
        [cache(status("Pending", "TemplateNotDiscovered")), failed],
        ("aimtc", "llama"),
        ["AIMTemplateCache llama", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryFailed")},
    ),
    "a model with templates that are not Ready": (
        [
            model(state=status("Degraded", "TemplatesDegraded")),
            failed,
            template("good"),
            template("b", state=RUNNING),
        ],
        ("aimmdl", "llama"),
        ["AIMModel llama", "AIMServiceTemplate llama", "AIMServiceTemplate b"],
        {
            ("AIMServiceTemplate", "llama", "DiscoveryFailed"),
            ("AIMServiceTemplate", "b", "DiscoveryRunning"),
        },
    ),
    "a model of two GPU types: the one that no node offers is not a cause": (
        [
            model(state=status("Degraded", "TemplatesDegraded")),
            failed,
            template("other", state=status("NotAvailable", "GPUNotAvailable")),
        ],
        ("aimmdl", "llama"),
        ["AIMModel llama", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "DiscoveryFailed")},
    ),
    "a model whose GPUs no node offers": (
        [model(state=status("NotAvailable", "GPUNotAvailable")), without_gpu],
        ("aimmdl", "llama"),
        ["AIMModel llama", "AIMServiceTemplate llama"],
        {("AIMServiceTemplate", "llama", "GPUNotAvailable")},
    ),
    "a volume of a verified download that is gone": (
        [model_cache(status("Pending", "VolumeMissing", persistentVolumeClaim="weights"))],
        ("aimmc", "weights"),
        ["AIMModelCache weights", "PersistentVolumeClaim weights"],
        {("AIMModelCache", "weights", "VolumeMissing")},
    ),
    "a runtime config with a missing storage class": (
        [thing("AIMRuntimeConfig", "special", "team", spec={"defaultStorageClassName": "fast"})],
        ("aimrcfg", "special"),
        ["AIMRuntimeConfig special", "StorageClass fast"],
        {("StorageClass", "fast", "")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_path_leads_to_the_root_cause(case):
    objects, (word, name), expected_path, expected_causes = CASES[case]
    found = explained(Paper(*objects), word, name)
    assert path(found) == expected_path
    assert causes(found) == expected_causes


@pytest.mark.parametrize("case", CASES)
def test_each_cause_is_shown_with_its_message_in_full_and_a_command(case):
    objects, (word, name), _, _ = CASES[case]
    paper = Paper(*objects)
    found = explained(paper, word, name)
    text = "\n".join(lines(found, paper))
    assert suggested(found) or any(cause.health.state == "Missing" for cause in found.causes)
    for cause in found.causes:
        for shown in (cause.health, cause.reported):
            assert shown.message in text
            assert shown.message in found.summary or shown is not cause.reported


@pytest.mark.parametrize("case", CASES)
def test_an_explanation_fits_the_width_but_for_commands(case):
    objects, (word, name), _, _ = CASES[case]
    paper = Paper(*objects)
    rows = lines(explained(paper, word, name), paper, 90)
    assert max(len(row) for row in rows if "$ " not in row) <= 90


HEALTHY = {
    "aimsvc": [uses(template(), "RuntimeReady", "Running"), template()],
    "aimst": [template("chat"), model()],
    "aimclst": [template("chat", "")],
    "aimmdl": [model("chat")],
    "aimclmdl": [model("chat", "")],
    "aimtc": [cache(status("Available", "Warm"), "chat")],
    "aimmc": [model_cache(status("Available", "Downloaded"), "chat")],
    "aimrcfg": [thing("AIMRuntimeConfig", "chat", "team", spec={})],
    "aimcrcfg": [thing("AIMClusterRuntimeConfig", "chat", spec={})],
}


@pytest.mark.parametrize("word", HEALTHY)
def test_an_object_that_is_well_has_no_cause_and_no_commands(word):
    paper = Paper(*HEALTHY[word])
    found = explained(paper, word, "chat")
    assert found.root.health.ready
    assert (found.causes, suggested(found)) == ((), [])
    assert lines(found, paper)[0] == f"{found.root.health.title} is {found.root.health.state}."


def test_a_service_that_runs_is_ready_and_its_failed_cache_is_a_cause_all_the_same():
    cache_ready = condition("CacheReady", False, "CacheFailed")
    running_service = uses(template(), "Running", "Running", cache_ready)
    found = explained(Paper(running_service, cache(status("Failed", "WarmFailed"))), "aimsvc", "chat")
    assert found.root.health.ready
    assert found.root.health.condition == "CacheReady"
    assert causes(found) == {("AIMTemplateCache", "llama", "WarmFailed")}


@pytest.mark.parametrize("reason", ["Disabled", "NoLabels"])
def test_a_condition_that_is_false_on_purpose_is_no_cause(reason):
    extracted = condition("MetadataExtracted", False, reason)
    found = explained(Paper(model(state=status("Ready", reason, "", extracted))), "aimmdl", "llama")
    assert found.causes == ()


def test_the_operators_report_has_the_remedy_of_a_cause_in_another_object():
    state = status("Pending", "AwaitingDiscovery", "the pod waits; check the pull secrets")
    blocked = template(state=state)
    paper = Paper(
        blocked, job(blocked, active=1), waiting_pod(job(blocked, active=1), "ImagePullBackOff", "denied")
    )
    (cause,) = explained(paper, "aimst", "llama").causes
    assert cause.health.message == "denied"
    assert cause.report.message == "the pod waits; check the pull secrets"


def test_candidates_are_shown_with_the_step_that_excluded_them():
    matches = [
        candidate("a", "Selection", "it fits"),
        candidate("b", "GPU", "no node offers MI355X", "Cluster"),
    ]
    paper = Paper(unresolved("TemplateSelectionAmbiguous", *matches))
    found = explained(paper, "aimsvc", "chat")
    rows = [row.split() for row in lines(found, paper)[-3:]]
    assert rows == [
        ["CANDIDATE", "SCOPE", "EXCLUDED", "BY", "WHY"],
        ["a", "Namespace", "-", "it", "fits"],
        ["b", "Cluster", "GPU", "no", "node", "offers", "MI355X"],
    ]
    assert (
        """kubectl patch aimsvc chat --type=merge -p '{"spec":{"templateRef":"a"}}' -n team"""
        in suggested(found)
    )
    assert [one["droppedBy"] for one in found.to_json()["candidates"]] == ["Selection", "GPU"]


def test_causes_with_the_same_message_are_shown_together():
    pending = status("Pending", "StorageClassNotFound", "there is no class 'fast'")
    listed = {"weights": "Pending", "other": "Pending"}
    objects = model_cache(pending), model_cache(pending, "other")
    paper = Paper(cache(status("Pending", "WarmRequested"), models=listed), *objects)
    text = lines(explained(paper, "aimtc", "llama"), paper)
    assert text.count("  there is no class 'fast'") == 1
    assert "Root cause: AIMModelCache team/weights, AIMModelCache team/other (StorageClassNotFound)" in text


def test_a_service_with_a_template_shows_why_it_was_selected():
    state = status(
        "Running",
        "Running",
        "",
        condition("Resolved", True, "TemplateResolved"),
        resolvedTemplate=reference(template()),
        templateMatching=[{**candidate("llama", None, "it matches"), "selected": True}],
    )
    paper = Paper(service(state=state), template())
    found = explained(paper, "aimsvc", "chat")
    assert lines(found, paper)[-1].split() == ["llama", "(selected)", "Namespace", "-", "it", "matches"]


def test_of_many_candidates_the_first_are_shown():
    matches = [candidate(f"t{number}", "Overrides", "other precision") for number in range(25)]
    paper = Paper(unresolved("TemplateNotFound", *matches))
    found = explained(paper, "aimsvc", "chat")
    assert lines(found, paper)[-1] == "More candidates: 5; -o json has all."
    assert len(found.to_json()["candidates"]) == 25


@pytest.mark.parametrize(
    ("reason", "heading"), [("RuntimeNotInstalled", "Root cause"), ("RuntimeStarting", "In progress")]
)
def test_what_cannot_proceed_without_help_is_not_in_progress(reason, heading):
    paper = Paper(uses(template(), reason), template())
    assert f"{heading}: AIMService team/chat ({reason})" in lines(explained(paper, "aimsvc", "chat"), paper)


def serving(**container):
    """A service whose InferenceService has a pod with such a container."""
    ready = condition("Ready", False, "MinimumReplicasUnavailable", "wait")
    labels = {"serving.kserve.io/inferenceservice": "chat"}
    return [
        uses(template(), "RuntimeNotReady"),
        thing("InferenceService", "chat", "team", status={"conditions": [ready]}),
        thing("Pod", "chat-1", "team", meta={"labels": labels}, status={"containerStatuses": [container]}),
    ]


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ImagePullBackOff"])
def test_a_serving_pod_that_cannot_run_is_not_in_progress(reason):
    paper = Paper(*serving(state={"waiting": {"reason": reason}}))
    assert f"Root cause: Pod team/chat-1 ({reason})" in lines(explained(paper, "aimsvc", "chat"), paper)


def test_a_service_whose_pods_state_no_problem_suggests_what_kserve_runs():
    paper = Paper(*serving(state={"running": {}}))
    found = explained(paper, "aimsvc", "chat")
    assert "In progress: InferenceService team/chat (MinimumReplicasUnavailable)" in lines(found, paper)
    labels = "serving.kserve.io/inferenceservice=chat"
    assert suggested(found)[0] == f"kubectl get deployments,replicasets,pods -n team -l {labels}"


@pytest.mark.parametrize(("last", "logged"), [({}, False), ({"terminated": {"exitCode": 1}}, True)])
def test_a_container_that_waits_to_be_started_again_has_a_log(last, logged):
    *_, pod_ = serving(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=last)
    assert has_log(pod_) is logged


def test_objects_that_refer_to_each_other_are_shown_once():
    loop = cache(status("Pending", "TemplateNotDiscovered"))
    found = explained(Paper(warming, loop), "aimst", "llama")
    assert [node.seen_above for node in found.root.walk()] == [False, False, True]
    assert causes(found) == {("AIMTemplateCache", "llama", "TemplateNotDiscovered")}


def test_a_path_is_no_longer_than_its_limit():
    objects = [uses(warming), warming, cache(status("Failed", "WarmFailed"), models={"weights": "Failed"})]
    found = explained(Paper(*objects), "aimsvc", "chat")
    assert len(path(found)) <= LONGEST_PATH + 1


def test_what_may_not_be_read_is_shown_and_is_no_cause():
    paper = Paper(uses(waiting), denied={"get aimservicetemplates"})
    found = explained(paper, "aimsvc", "chat")
    (hidden,) = found.root.children
    assert (hidden.health.state, hidden.health.reason) == ("Unknown", "Forbidden")
    assert hidden.health.message == "you may not get aimservicetemplates.aim.silogen.ai in namespace 'team'"
    assert causes(found) == {("AIMService", "chat", "TemplateNotReady")}


def test_an_object_that_may_exist_does_not_reveal_the_one_it_would_hide():
    objects = [unresolved("ModelNotFound", model={"ref": "llama"}), model("llama", "")]
    found = explained(Paper(*objects, denied={"get aimmodels"}), "aimsvc", "chat")
    assert path(found) == ["AIMService chat", "AIMModel llama"]


def test_events_that_may_not_be_read_are_left_out():
    found = explained(Paper(running, discovery, denied={"list events"}), "aimst", "llama")
    assert path(found) == ["AIMServiceTemplate llama", "Job discover-llama"]


def test_only_the_newest_unfinished_job_of_the_object_counts():
    old, ended = job(running, "old", active=1, age=50), job(running, "ended", ended="Failed", age=1)
    other = job(template(meta={"uid": "another"}), "other", active=1, age=0)
    found = explained(
        Paper(running, old, job(running, "new", active=1, age=5), ended, other), "aimst", "llama"
    )
    assert path(found)[1:] == ["Job new"]


def test_jobs_of_cluster_templates_are_in_the_operator_namespace():
    base = template("base", "", state=RUNNING)
    found = explained(Paper(base, job(base, active=1, ready=1)), "aimclst", "base")
    (child,) = found.root.children
    assert (child.health.namespace, child.health.state) == (OPERATOR, "Running")


def test_a_template_waits_in_the_queue_only_without_a_job():
    assert explained(Paper(waiting), "aimst", "llama").waiting_template.name == "llama"
    assert explained(Paper(waiting, job(waiting, active=1)), "aimst", "llama").waiting_template is None
    assert suggested(explained(Paper(waiting), "aimst", "llama"))[0] == "aimctl queue"
    cause = {"discovery": {"blocked": "Secret 'hf' does not exist: create it"}}
    blocked = template(state={**waiting.view.status.to_json(), **cause})
    assert explained(Paper(blocked), "aimst", "llama").waiting_template is None


def test_a_failed_discovery_says_when_it_is_repeated():
    failure = {"inputHash": "h", "attempts": 1, "retryAt": at(-30), "message": "denied"}
    because = condition("Discovered", False, "DiscoveryFailed")
    records = {"failure": failure}
    denied = template(state=status("Failed", "DiscoveryFailed", "denied", because, discovery=records))
    shown = lines(explained(Paper(denied), "aimst", "llama"), Paper(denied))
    assert "  It is tried again in 30s, and at once after a change of the template or its model." in shown
    assert not any("Discovery is repeated" in line for line in shown)
    final = template(state=status("Failed", "DiscoveryFailed", "exit code 1"))
    shown = lines(explained(Paper(final), "aimst", "llama"), Paper(final))
    assert any(line.startswith("  Discovery is repeated after a change") for line in shown)
    assert not any("tried again" in line for line in shown)


def test_a_paused_discovery_says_when_it_is_tried_again():
    records = {"pause": {"inputHash": "h", "attempts": 1, "until": at(-30), "message": "no pod"}}
    waits = condition("Discovered", False, "AwaitingDiscovery")
    paused = template(state=status("Pending", "AwaitingDiscovery", "no pod", waits, discovery=records))
    found = explained(Paper(paused), "aimst", "llama")
    assert "  It is tried again in 30s." in lines(found, Paper(paused))
    assert found.to_json()["object"]["retryAt"] == at(-30)


def test_a_failed_discovery_is_repeated_on_request():
    found = explained(Paper(failed), "aimst", "llama")
    assert "aimctl rediscover llama -n team" in suggested(found)
    assert "use the command below" in advice(found.causes[0])
    cluster = template("base", "", state=status("Failed", "DiscoveryFailed"))
    assert "aimctl rediscover base --cluster" in suggested(explained(Paper(cluster), "aimclst", "base"))


def test_a_server_that_cannot_be_reached_has_the_remedy_that_its_message_has_no_space_for():
    paper = Paper(model_cache(status("Failed", "SourceUnavailable", "the server is unreachable")))
    text = " ".join(lines(explained(paper, "aimmc", "weights"), paper))
    assert "check the network policies and the proxy" in text


def test_a_blocked_discovery_is_not_requested_again():
    blocked = template(
        state=status("Failed", "DiscoveryFailed", "create it", discovery={"blocked": "create it"})
    )
    found = explained(Paper(blocked), "aimst", "llama")
    assert suggested(found) == ["kubectl describe aimst llama -n team"]
    assert advice(found.causes[0]) == ""


@pytest.mark.parametrize(("has_log", "count"), [(True, 1), (False, 0)])
def test_a_log_is_suggested_only_if_there_is_one(has_log, count):
    found = suggested(explained(Paper(failed), "aimst", "llama"), has_log=has_log)
    assert found.count("aimctl logs aimst llama -n team --tail 20") == count


def test_commands_repeat_the_flags_that_select_the_cluster():
    with typed(Typed(("--context", "far away"))):
        every = suggested(explained(Paper(failed), "aimst", "llama"))
    assert every
    assert all(command.endswith("--context 'far away'") for command in every)


def test_the_progress_of_a_download_is_shown():
    progress = {"percent": 25, "downloadedBytes": 4 * 1024**3, "totalBytes": 16 * 1024**3}
    paper = Paper(model_cache(status("Progressing", "Downloading", "it runs", progress=progress)))
    found = explained(paper, "aimmc", "weights")
    assert "  Downloaded: 4 GiB of 16 GiB (25%)." in lines(found, paper)
    assert found.to_json()["object"]["progress"] == progress


def test_a_deleted_object_names_the_finalizers_that_remain():
    found = explained(
        Paper(template(meta={"deletionTimestamp": at(3), "finalizers": ["x/y"]})), "aimst", "llama"
    )
    assert (found.root.health.state, found.root.health.since) == ("Deleting", at(3))
    assert found.root.health.message.endswith("x/y")


def test_the_state_is_as_old_as_the_last_condition_that_made_it():
    more = condition("Progressing", True, "X", age=5), condition("Failure", False, "X", age=7)
    state = status("Progressing", "DiscoveryRunning", "", *more)
    assert explained(Paper(template(state=state)), "aimst", "llama").root.health.since == at(5)


def test_the_document_has_the_same_keys_for_every_object():
    found = explained(Paper(uses(waiting), waiting), "aimsvc", "chat").to_json()
    assert set(found) == {"ready", "summary", "causes", "candidates", "object"}
    fixed = {
        "kind",
        "name",
        "state",
        "ready",
        "condition",
        "reason",
        "message",
        "note",
        "seenAbove",
        "children",
    }

    def check(node):
        assert fixed <= set(node) <= fixed | {"namespace", "created", "since", "progress"}
        for child in node["children"]:
            check(child)

    check(found["object"])
    assert all(set(cause) >= {"kind", "report"} for cause in found["causes"])


IN_ITS_OWN_MESSAGE = {
    "aimsvc": (
        "ModelAmbiguous", "ModelNameTaken", "ModelRequested", "ModelRefused", "TemplateModelMismatch",
        "TemplateUnreadable", "TemplateSelectionAmbiguous", "DerivationPending", "DerivationRefused",
        "DerivedNameTaken", "CacheRequested", "CacheRefused", "CacheNameTaken", "RuntimeNotInstalled",
        "RuntimeRefused", "RuntimeStopped", "RuntimeNameImpossible", "NameTaken",
    ),
    "aimst": ("DiscoveryFailed", "GPUNotAvailable"),
    "aimclst": ("DiscoveryFailed", "GPUNotAvailable"),
    "aimmc": (
        "AccessDenied", "SourceNotFound", "SourceUnavailable", "RateLimited", "VerificationFailed", "VolumeFull",
        "ImagePullFailed", "ContainerSetupFailed", "OutOfMemory", "DownloadFailed", "DownloadRefused", "VolumeRefused",
        "VolumeRequested", "InvalidSize", "NoDefaultStorageClass",
    ),
    "aimmdl": (
        "ReadingMetadata", "RegistryUnreachable", "AccessDenied", "PullSecretNotFound", "PullSecretInvalid",
        "PullSecretUnreadable", "ImageNotFound", "InvalidImage", "RegistryNotAllowed", "MalformedMetadata",
    ),
}  # fmt: skip
"""Reasons whose cause and remedy are in the message of the object."""
UNREADY = {
    "aimsvc": lambda state: service("thing", state, templateRef="other"),
    "aimst": lambda state: template("thing", "team", state),
    "aimclst": lambda state: template("thing", "", state),
    "aimmc": lambda state: model_cache(state, "thing"),
    "aimmdl": lambda state: model("thing", "team", state),
}


@pytest.mark.parametrize(
    ("word", "reason"),
    [(word, reason) for word, reasons in IN_ITS_OWN_MESSAGE.items() for reason in reasons],
    ids=lambda value: value,
)
def test_a_reason_without_a_reference_is_explained_by_its_own_message_in_full(word, reason):
    """Templates, Jobs and caches with other problems exist, and are not mentioned."""
    words = " ".join(f"word{number}" for number in range(120))
    message = f"the cause is this, with these details: {words}; to fix it, do that"
    state = status(
        "Failed", reason, message, condition("Resolved", False, reason), persistentVolumeClaim="thing"
    )
    item = UNREADY[word](state)
    others = [
        failed,
        template("other", state=AWAITING),
        template("other", ""),
        job(item, active=1),
        claim("Pending"),
    ]
    paper = Paper(
        item,
        *others,
        model_cache(status("Failed", "AccessDenied")),
        cache(status("Failed", "WarmFailed"), "thing"),
    )
    found = explained(paper, word, "thing")
    assert causes(found) == {(item.resource.kind, "thing", reason)}
    assert [node.health.name for node in found.root.walk()] == ["thing"]
    assert message in " ".join(" ".join(row.strip() for row in lines(found, paper, 80)).split())
    assert suggested(found)


def test_the_reasons_without_a_reference_are_written_by_the_operator():
    known = {*words_of(aimctl.domain), *words_of(aimctl.controllers)}
    assert {reason for reasons in IN_ITS_OWN_MESSAGE.values() for reason in reasons} <= known
    for word, reasons in IN_ITS_OWN_MESSAGE.items():
        kind = kind_of(word).kind
        assert not {reason for reason in reasons if (kind, "Ready", reason) in RULES}


def documented(heading):
    """The reasons in the first column of the table below a heading of docs/reasons.md."""
    text = (Path(__file__).parents[3] / "docs/reasons.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| ") and "`" in row]
    return {word for cell in cells for word in re.findall(r"`([A-Z]\w+)`", cell)}


OF_OTHER_CONDITIONS = {
    "Templates": {"Rediscovering", "DiscoveryPaused"},
    "Services": {"BaseTemplateNotResolved"},
    # Evicted and NodeLost are reasons of pods.
    "Caches": {"VolumeNotProvisioned", "VolumePending", "Evicted", "NodeLost"},
    "Models": {
        "AwaitingMetadata",
        "NothingRecommended",
        "TemplatesMissing",
        "TemplateNameTaken",
        "TemplatesRefused",
    },
}
"""Reasons of the documentation with which no object of the kind is explained."""
WELL = {
    *("ProfilesDiscovered", "SourcesGiven", "Warm"),
    *("TemplateResolved", "TemplateDerived", "TemplateFound", "CacheAvailable"),
    *(
        "RuntimeReady",
        "Downloaded",
        "VolumeBound",
        "Resolved",
        "RuntimeConfigFound",
        "DefaultsUsed",
        "Extracted",
    ),
    *("NoLabels", "Disabled", "TemplatesReady", "TemplatesGenerated", "NoFailure"),
}


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Templates", ("aimst",)),
        ("Services", ("aimsvc",)),
        ("Caches", ("aimtc", "aimmc")),
        ("Models", ("aimmdl",)),
    ],
    ids=["templates", "services", "caches", "models"],
)
def test_every_documented_reason_is_explained(heading, words):
    states = set(map(str, (*ServiceState, *CacheState, *TemplateState, *ModelState)))
    kinds = {kind_of(word).kind for word in words}
    reasons = {reason for each, _, reason in RULES if each in kinds}
    reasons |= {reason for word in words for reason in IN_ITS_OWN_MESSAGE.get(word, ())}
    found = documented(heading)
    assert len(found & reasons) > 5
    assert found - states - reasons - WELL - OF_OTHER_CONDITIONS[heading] == set()


def test_the_rules_use_conditions_and_reasons_that_the_operator_writes():
    known = set(words_of(aimctl.domain))
    own = {(type_, reason) for kind, type_, reason in RULES if kind.startswith("AIM") and type_}
    assert len(own) > 20
    assert {word for pair in own for word in pair} <= known
