"""What is told about an object that is not Ready: from facts alone, without a server."""

from __future__ import annotations

import pytest

from aimctl.cli.story import explain
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

AWAITING = status(
    "Pending",
    "AwaitingDiscovery",
    "waits for one of the cluster's discovery slots",
    condition("Discovered", False, "AwaitingDiscovery"),
)
RUNNING = status(
    "Progressing", "DiscoveryRunning", "the Job runs", condition("Discovered", False, "DiscoveryRunning")
)
CONFIG = thing("AIMRuntimeConfig", "special", "team", spec={})
SOURCE = "hf://meta/llama"


def tell(paper, word, name, namespace="team", **fields):
    return explain(paper.book(**fields), kind_of(word), name, namespace)


def causes(story):
    return {(one.kind, one.name, one.reason) for one in story.causes}


def commands(story):
    return [command for line in story.line.walk() for command in line.commands]


def cache(state, name="llama", models=(), template_ref="llama"):
    body = {**state, "models": [{"modelCache": one, "source": SOURCE, "name": one} for one in models]}
    return thing("AIMTemplateCache", name, "team", spec={"templateRef": template_ref}, status=body)


def model_cache(state, name="weights", **spec):
    return thing(
        "AIMModelCache", name, "team", spec={"sourceURI": SOURCE, "size": "16Gi", **spec}, status=state
    )


# ---- one table: what stands, and what it comes down to

waiting, running, broken = (
    template(state=AWAITING),
    template(state=RUNNING),
    template(
        state=status("Failed", "DiscoveryFailed", "image 'x' was not found. Correct the model's spec.image")
    ),
)
cached = template(
    state=status("Progressing", "Warming", "40 percent"), caching={"enabled": True}, modelSources=[]
)
pulling = job(running, active=1)
downloading = model_cache(status("Progressing", "Downloading", "on its way"))

CASES = {
    "a model that is not there": (
        [template(state=status("Pending", "ModelNotFound"))],
        ("aimst", "llama"),
        {("AIMModel", "llama", "ModelNotFound")},
    ),
    "a cluster template sees cluster models only": (
        [template("base", "", state=status("Pending", "ModelNotFound")), model()],
        ("aimclst", "base"),
        {("AIMClusterModel", "llama", "ModelNotFound")},
    ),
    "a runtime config that is not there": (
        [template(state=status("Pending", "RuntimeConfigNotFound"), runtimeConfigName="special"), model()],
        ("aimst", "llama"),
        {("AIMRuntimeConfig", "special", "RuntimeConfigNotFound")},
    ),
    "a GPU that no node has": (
        [template(state=status("NotAvailable", "GPUNotAvailable"), gpuSelector={"model": "MI355X"}), model()],
        ("aimst", "llama"),
        {("GPU", "MI355X", "GPUNotAvailable")},
    ),
    "a place in the queue": (
        [waiting, model()],
        ("aimst", "llama"),
        {("DiscoverySlot", "place 1 of 1", "AwaitingDiscovery")},
    ),
    "the API server's refusal of the Job": (
        [
            template(
                state=status(
                    "Pending",
                    "AwaitingDiscovery",
                    "",
                    condition(
                        "Discovered",
                        False,
                        "AwaitingDiscovery",
                        "the API server refused the discovery Job: quota",
                    ),
                )
            ),
            model(),
        ],
        ("aimst", "llama"),
        {("Job", "", "DiscoveryJobRefused")},
    ),
    "a pod whose image cannot be pulled": (
        [
            running,
            model(),
            pulling,
            pod(
                pulling,
                containerStatuses=[
                    {
                        "name": "discovery",
                        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "denied"}},
                    }
                ],
            ),
        ],
        ("aimst", "llama"),
        {("Pod", "discover-llama-x", "ImagePullBackOff")},
    ),
    "a pod that no node takes": (
        [
            running,
            model(),
            pulling,
            pod(
                pulling,
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "taints",
                    }
                ],
            ),
        ],
        ("aimst", "llama"),
        {("Pod", "discover-llama-x", "Unschedulable")},
    ),
    "a discovery that failed, with the Job still there": (
        [broken, model(), job(broken, ended="Failed", message="it is over")],
        ("aimst", "llama"),
        {("AIMServiceTemplate", "llama", "DiscoveryFailed")},
    ),
    "a discovery that failed, with the Job gone": (
        [broken, model()],
        ("aimst", "llama"),
        {("AIMServiceTemplate", "llama", "DiscoveryFailed")},
    ),
    "a template that the operator has not looked at": (
        [template(state=None), model()],
        ("aimst", "llama"),
        {("AIMServiceTemplate", "llama", "NotSeenYet")},
    ),
    "a service down to the queue": (
        [
            service(state=status("Starting", "TemplateNotReady", resolvedTemplate=reference(waiting))),
            waiting,
            model(),
        ],
        ("aimsvc", "chat"),
        {("DiscoverySlot", "place 1 of 1", "AwaitingDiscovery")},
    ),
    "a service whose named template is missing": (
        [service(state=status("Pending", "TemplateNotFound"), templateRef="nope"), model()],
        ("aimsvc", "chat"),
        {("AIMServiceTemplate", "nope", "TemplateNotFound")},
    ),
    "a service whose template in use is gone": (
        [
            service(
                state=status("Starting", "TemplateNotFound", resolvedTemplate=reference(template("gone")))
            ),
            model(),
        ],
        ("aimsvc", "chat"),
        {("AIMServiceTemplate", "gone", "TemplateNotFound")},
    ),
    "a service that waits for a candidate": (
        [
            service(
                state=status(
                    "Starting",
                    "TemplateNotReady",
                    templateMatching=[
                        {"name": "llama", "scope": "Namespace", "droppedBy": "Ready", "message": "Pending"}
                    ],
                )
            ),
            waiting,
            model(),
        ],
        ("aimsvc", "chat"),
        {("DiscoverySlot", "place 1 of 1", "AwaitingDiscovery")},
    ),
    "a service on a cluster without KServe": (
        [
            service(
                state=status(
                    "Starting",
                    "RuntimeNotInstalled",
                    "",
                    condition("RuntimeReady", False, "RuntimeNotInstalled", "KServe is not installed"),
                    resolvedTemplate=reference(template()),
                )
            ),
            template(),
            model(),
        ],
        ("aimsvc", "chat"),
        {("InferenceService", "chat", "RuntimeNotInstalled")},
    ),
    "a deployment that is not Ready": (
        [
            service(
                state=status(
                    "Degraded",
                    "RuntimeNotReady",
                    "",
                    condition("RuntimeReady", False, "RuntimeNotReady"),
                    resolvedTemplate=reference(template()),
                )
            ),
            template(),
            model(),
            thing(
                "InferenceService",
                "chat",
                "team",
                status={
                    "conditions": [
                        {
                            "type": "PredictorReady",
                            "status": "False",
                            "reason": "CrashLoop",
                            "message": "exit code 1",
                        },
                        {"type": "Ready", "status": "False", "reason": "PredictorReady"},
                    ]
                },
            ),
        ],
        ("aimsvc", "chat"),
        {("InferenceService", "chat", "CrashLoop")},
    ),
    "a service through template, cache and download to a pod": (
        [
            service(state=status("Starting", "TemplateNotReady", resolvedTemplate=reference(cached))),
            cached,
            model(),
            cache(status("Progressing", "Warming"), models=["weights"]),
            downloading,
            job(downloading, "download-weights", component="download", active=1, ready=1),
        ],
        ("aimsvc", "chat"),
        {("AIMModelCache", "weights", "Downloading")},
    ),
    "a service that caches by itself": (
        [
            service(
                state=status("Starting", "CacheNotReady", resolvedTemplate=reference(template())),
                cacheModel=True,
            ),
            template(),
            model(),
            cache(status("Failed", "DownloadFailed"), models=["weights"]),
            model_cache(status("Failed", "AccessDenied", "the token of secret hf was refused")),
        ],
        ("aimsvc", "chat"),
        {("AIMModelCache", "weights", "AccessDenied")},
    ),
    "a storage class that is not there": (
        [
            model_cache(
                status(
                    "Pending",
                    "StorageClassNotFound",
                    "",
                    condition("StorageReady", False, "StorageClassNotFound"),
                ),
                storageClassName="fast",
            )
        ],
        ("aimmc", "weights"),
        {("StorageClass", "fast", "StorageClassNotFound")},
    ),
    "no storage class at all": (
        [
            model_cache(
                status(
                    "Pending",
                    "NoDefaultStorageClass",
                    "",
                    condition("StorageReady", False, "NoDefaultStorageClass"),
                )
            )
        ],
        ("aimmc", "weights"),
        {("StorageClass", "(default)", "NoDefaultStorageClass")},
    ),
    "a volume that is lost": (
        [
            model_cache(status("Progressing", "VolumeLost", persistentVolumeClaim="weights")),
            thing("PersistentVolumeClaim", "weights", "team", status={"phase": "Lost"}),
        ],
        ("aimmc", "weights"),
        {("PersistentVolumeClaim", "weights", "VolumeLost")},
    ),
    "a volume that is gone": (
        [model_cache(status("Progressing", "VolumeMissing", persistentVolumeClaim="weights"))],
        ("aimmc", "weights"),
        {("PersistentVolumeClaim", "weights", "VolumeMissing")},
    ),
    "a template cache of a template that is not there": (
        [cache(status("Pending", "TemplateNotFound"), template_ref="nope")],
        ("aimtc", "llama"),
        {("AIMServiceTemplate", "nope", "TemplateNotFound")},
    ),
    "a model whose image cannot be read": (
        [
            model(
                state=status(
                    "Failed", "AccessDenied", "", condition("MetadataExtracted", False, "AccessDenied", "401")
                ),
                imagePullSecrets=[{"name": "pull"}],
            )
        ],
        ("aimmdl", "llama"),
        {("Image", "registry.test/llama:1", "AccessDenied")},
    ),
    "a service whose model has no templates because its image cannot be read": (
        [
            service(
                state=status(
                    "Failed",
                    "TemplateNotFound",
                    "",
                    condition("Resolved", False, "TemplateNotFound"),
                    resolvedImage=reference(model()),
                )
            ),
            model(
                state=status(
                    "Failed",
                    "ImageNotFound",
                    "",
                    condition("MetadataExtracted", False, "ImageNotFound", "404"),
                )
            ),
        ],
        ("aimsvc", "chat"),
        {("Image", "registry.test/llama:1", "ImageNotFound")},
    ),
    "a template cache, and not the template that waits for it": (
        [
            cache(status("Failed", "WarmFailed"), models=["weights"]),
            template(state=status("Degraded", "WarmFailed")),
            model_cache(status("Failed", "AccessDenied", "401")),
        ],
        ("aimtc", "llama"),
        {("AIMModelCache", "weights", "AccessDenied")},
    ),
    "a model by its templates": (
        [model(state=status("Progressing", "TemplatesNotReady")), waiting],
        ("aimmdl", "llama"),
        {("DiscoverySlot", "place 1 of 1", "AwaitingDiscovery")},
    ),
    "a runtime config with a storage class that is not there": (
        [thing("AIMRuntimeConfig", "special", "team", spec={"defaultStorageClassName": "fast"})],
        ("aimrcfg", "special"),
        {("StorageClass", "fast", "StorageClassNotFound")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_chain_is_followed_to_what_it_comes_down_to(case):
    objects, (word, name), expected = CASES[case]
    namespace = "" if word.startswith("aimcl") else "team"
    story = tell(Paper(*objects), word, name, namespace)
    assert causes(story) == expected
    assert not story.line.good
    assert story.summary.startswith(f"{story.line.title} is {story.line.state}")


@pytest.mark.parametrize("case", CASES)
def test_each_cause_has_something_to_type_and_a_sentence(case):
    objects, (word, name), _ = CASES[case]
    namespace = "" if word.startswith("aimcl") else "team"
    story = tell(Paper(*objects), word, name, namespace)
    assert commands(story), "there is something to type"
    for cause in story.causes:
        assert cause.message or cause.reason or cause.state in story.summary


READY_CASES = {
    "aimsvc": [
        service(state=status("Running", "RuntimeReady", resolvedTemplate=reference(template()))),
        template(),
        model(),
    ],
    "aimst": [template("chat"), model()],
    "aimclst": [template("chat", ""), model("llama", "")],
    "aimmdl": [model("chat")],
    "aimclmdl": [model("chat", "")],
    "aimtc": [cache(status("Available", "Warm"), "chat"), template()],
    "aimmc": [model_cache(status("Available", "Downloaded"), "chat")],
    "aimrcfg": [thing("AIMRuntimeConfig", "chat", "team", spec={})],
    "aimcrcfg": [thing("AIMClusterRuntimeConfig", "chat", spec={})],
}


@pytest.mark.parametrize("word", READY_CASES)
def test_of_each_kind_one_that_is_well_is_said_to_be_so_and_proposes_nothing(word):
    namespace = "" if word.startswith("aimc") else "team"
    story = tell(Paper(*READY_CASES[word]), word, "chat", namespace)
    assert story.line.good, story.line
    assert story.causes == ()
    assert "well" in story.summary
    assert commands(story) == []


def test_what_is_not_there_is_an_answer_and_no_story():
    story = tell(Paper(), "aimst", "llama")
    assert story.line is None
    assert story.summary == ""
    assert story.causes == ()


def test_a_missing_default_runtime_config_is_nothing_to_tell():
    story = tell(Paper(template(), model()), "aimst", "llama")
    assert [line.kind for line in story.line.walk()] == ["AIMServiceTemplate", "AIMModel"]


def test_what_may_not_be_read_is_said_and_is_no_cause():
    paper = Paper(waiting, denied={"get aimmodels", "list jobs"})
    story = tell(paper, "aimst", "llama")
    hidden = {(line.kind, line.reason) for line in story.line.walk() if line.level == "unknown"}
    assert hidden == {("AIMModel", "Forbidden"), ("Job", "Forbidden")}
    assert all("Forbidden" not in cause for cause in causes(story))
    assert "you may not get aimmodels.aim.silogen.ai in namespace 'team'" in {
        line.message for line in story.line.walk()
    }


def test_what_is_well_as_far_as_may_be_seen_is_said_to_be_no_more():
    running = service(state=status("Running", "RuntimeReady", resolvedTemplate=reference(template())))
    hidden = tell(Paper(running, model(), denied={"get aimservicetemplates"}), "aimsvc", "chat")
    assert (
        hidden.summary == "AIMService team/chat is Running, and all below it is well, as far as you may see."
    )
    unserved = tell(Paper(running, model(), unserved={"aimservicetemplates"}), "aimsvc", "chat")
    assert unserved.summary.endswith("and all below it is well, as far as it can be read.")


def test_the_state_is_as_old_as_the_last_condition_that_made_it():
    progressing = condition("Progressing", True, "DiscoveryRunning", age=5)
    state = status(
        "Progressing", "DiscoveryRunning", "", progressing, condition("Failure", False, "X", age=7)
    )
    story = tell(Paper(template(state=state), model()), "aimst", "llama")
    assert story.line.since == at(5)
    assert story.to_json()["object"]["since"] == at(5)


def test_below_each_line_the_worst_comes_first_where_that_is_asked_for():
    root = tell(Paper(broken, model(), CONFIG, job(broken, ended="Failed")), "aimst", "llama").line
    assert [line.kind for line in root.children] == ["AIMModel", "Job"]
    assert [line.kind for line in root.worst_first().children] == ["Job", "AIMModel"]


def test_a_job_that_failed_once_means_nothing_for_a_template_that_is_ready():
    ready = template()
    story = tell(Paper(ready, model(), job(ready, ended="Failed")), "aimst", "llama")
    assert story.causes == ()
    assert "Job" not in {line.kind for line in story.line.walk()}


def test_only_the_newest_job_is_told_about():
    old, new = job(running, "old", ended="Failed", age=50), job(running, "new", active=1, ready=1, age=5)
    story = tell(Paper(running, model(), old, new), "aimst", "llama")
    assert [line.name for line in story.line.walk() if line.kind == "Job"] == ["new"]


def test_jobs_of_another_template_with_the_same_label_are_not_ours():
    other = template(meta={"uid": "another"})
    story = tell(Paper(running, model(), job(other, active=1)), "aimst", "llama")
    assert "Job" not in {line.kind for line in story.line.walk()}


def test_jobs_of_cluster_templates_are_looked_for_in_the_operator_namespace():
    base = template("base", "", state=RUNNING)
    story = tell(Paper(base, model("llama", ""), job(base, active=1, ready=1)), "aimclst", "base", "")
    assert [(line.namespace, line.state) for line in story.line.walk() if line.kind == "Job"] == [
        ("kaiwo-system", "Running")
    ]
    assert causes(story) == {("AIMClusterServiceTemplate", "base", "DiscoveryRunning")}


def test_a_place_in_the_queue_tells_who_is_before_and_who_waits_for_it():
    first = [template(f"t{n}", state=AWAITING, age=100) for n in range(3)]
    busy = [job(template(f"b{n}"), active=1) for n in range(2)]
    chat = service(state=status("Starting", "TemplateNotReady"), templateRef="llama")
    alone = tell(Paper(waiting, model(), *first, *busy), "aimst", "llama", discovery_limit=2)
    awaited = tell(Paper(waiting, model(), *first, *busy, chat), "aimst", "llama", discovery_limit=2)
    assert [one.name for one in alone.causes] == ["place 4 of 4"]
    assert "2 of 2 slots are taken" in alone.summary
    assert "no service waits for it" in alone.summary
    assert [one.name for one in awaited.causes] == ["place 1 of 4"]
    assert "team/chat" in awaited.summary


def test_the_next_download_and_the_failures_so_far_are_told():
    state = status(
        "Failed",
        "DownloadFailed",
        "exit code 1",
        failedDownloads=3,
        nextDownloadAt=at(-240),
        progress={"percent": 25, "downloadedBytes": 4 * 1024**3, "totalBytes": 16 * 1024**3},
    )
    story = tell(Paper(model_cache(state)), "aimmc", "weights")
    for words in ("exit code 1", "3 downloads failed", "the next is tried in 4m"):
        assert words in story.line.message


def test_a_service_without_templates_tells_what_its_models_image_has_to_do_with_it():
    reads = condition("MetadataExtracted", False, "NoLabels", "the image has no labels of ours")
    lost = status(
        "Failed",
        "TemplateNotFound",
        "",
        condition("Resolved", False, "TemplateNotFound"),
        resolvedImage=reference(model()),
    )
    story = tell(
        Paper(service(state=lost), model(state=status("Ready", "NoLabels", "", reads))), "aimsvc", "chat"
    )
    (told,) = [line for line in story.line.walk() if line.kind == "AIMModel"]
    assert told.message == "image registry.test/llama:1; the image has no labels of ours"


def test_what_has_arrived_is_told_while_it_arrives():
    state = status(
        "Progressing",
        "Downloading",
        "on its way",
        progress={"percent": 25, "downloadedBytes": 4 * 1024**3, "totalBytes": 16 * 1024**3},
    )
    (cause,) = tell(Paper(model_cache(state)), "aimmc", "weights").causes
    assert "4.0 GiB of 16.0 GiB have arrived" in cause.message
    assert cause.to_json()["progress"] == {"percent": 25, "downloadedBytes": 2**32, "totalBytes": 2**34}


def test_a_refused_token_is_looked_for_where_it_comes_from():
    refused = status("Failed", "AccessDenied", "401")
    env = [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-creds", "key": "token"}}}]
    with_secret = tell(Paper(model_cache(refused, env=env)), "aimmc", "weights")
    without = tell(Paper(model_cache(refused)), "aimmc", "weights")
    assert commands(with_secret)[0] == "kubectl get secret hf-creds -n team"
    assert commands(without)[0] == "kubectl edit aimmc weights -n team"


def test_of_several_templates_the_patch_that_names_one_is_proposed():
    state = status(
        "Failed",
        "TemplateSelectionAmbiguous",
        "",
        condition("Resolved", False, "TemplateSelectionAmbiguous"),
        templateMatching=[
            {"name": "fast", "scope": "Namespace", "droppedBy": "Selection", "message": "so do others"},
            {"name": "cheap", "scope": "Cluster", "droppedBy": "Selection", "message": "so do others"},
            {"name": "other", "scope": "Cluster", "droppedBy": "GPU", "message": "no node offers MI355X"},
        ],
    )
    story = tell(Paper(service(state=state), model()), "aimsvc", "chat")
    assert any("--type=merge" in command and '"templateRef":"fast"' in command for command in commands(story))
    shown = {(line.kind, line.name, line.state, line.reason) for line in story.line.children}
    assert ("AIMServiceTemplate", "fast", "Fits", "") in shown
    assert ("AIMClusterServiceTemplate", "other", "Dropped", "GPU") in shown


def test_the_sentence_for_programs_and_pipes_is_whole_and_that_for_terminals_keeps_the_remedy():
    remedy = "mend one of them, or name one in spec.templateRef"
    message = f"no template fits: {'this one is too large, ' * 20}and that one too small; {remedy}"
    story = tell(
        Paper(service(state=status("Failed", "TemplateNotFound", message)), model()), "aimsvc", "chat"
    )
    assert message in story.summary
    assert story.to_json()["summary"] == story.summary
    assert len(story.sentence(160)) < 220
    assert story.sentence(160).endswith(f"; {remedy}.")


def test_a_derived_template_says_from_which():
    derived = template("llama-ovr-1", meta={"annotations": {"aim.silogen.ai/base-template": "llama"}})
    story = tell(Paper(derived, model()), "aimst", "llama-ovr-1")
    assert story.line.note == "derived from llama"


def test_a_failed_discovery_proposes_to_mend_the_model_then_to_try_again():
    story = tell(Paper(broken, model()), "aimst", "llama")
    assert commands(story)[:2] == ["kubectl edit aimmdl llama -n team", "aimctl rediscover llama -n team"]


def test_commands_reach_the_same_cluster():
    story = tell(Paper(broken, model()), "aimst", "llama", flags=("--context", "far away"))
    assert all(command.endswith("--context 'far away'") for command in commands(story))


def test_an_object_that_is_being_deleted_is_said_to_be_so():
    going = template(meta={"deletionTimestamp": at(3), "finalizers": ["x"]})
    story = tell(Paper(going, model()), "aimst", "llama")
    assert (story.line.state, story.line.reason) == ("Deleting", "Deleting")


def test_a_pending_claim_tells_its_newest_event():
    claim = thing("PersistentVolumeClaim", "weights", "team", status={"phase": "Pending"})
    event = thing(
        "Event",
        "e1",
        "team",
        reason="ProvisioningFailed",
        message="no space",
        involvedObject={"uid": claim.meta.uid},
    )
    paper = Paper(
        model_cache(status("Pending", "VolumePending", persistentVolumeClaim="weights")), claim, event
    )
    (cause,) = tell(paper, "aimmc", "weights").causes
    assert (cause.kind, cause.reason, cause.message) == (
        "PersistentVolumeClaim",
        "ProvisioningFailed",
        "no space",
    )


def test_the_shape_for_programs_is_the_same_for_every_line():
    story = tell(Paper(waiting, model(), CONFIG), "aimst", "llama").to_json()
    assert set(story) == {"ready", "summary", "causes", "object"}

    def check(line):
        optional = {"namespace", "created", "since", "progress"}
        fixed = {"kind", "name", "state", "ready", "reason", "message", "note", "seenAbove", "commands"}
        fixed |= {"children"}
        assert fixed <= set(line) <= fixed | optional
        for child in line["children"]:
            check(child)

    check(story["object"])
    assert all("children" not in cause for cause in story["causes"])
