"""Every YAML block of the documents is an object that the API server accepts, or a named fragment."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from aimctl.api.kinds import KINDS
from aimctl.devcluster.apiserver.schema import Schema
from support.documents import load_all_yaml
from support.pages import blocks_of, pages

ROOT = Path(__file__).parents[3]
OWN = {kind.resource.kind: kind for kind in KINDS}
FRAGMENTS = {
    ("docs/embedded-cluster.md", "images"): "a catalogue, which test_docs_snippets.py reads",
    ("docs/installing.md", "patches"): "patches of kustomize, which test/install applies",
    ("docs/installing.md", "scrape_configs"): "a configuration of Prometheus",
    ("docs/operating.md", "env"): "the variables that test_traces.py sets",
    ("docs/security.md", "spec"): "the spec of an AIMClusterRuntimeConfig, see below",
}
"""Blocks that are not objects, by page and first key, and where they are checked instead."""
ELSEWHERE = {
    "argoproj.io/v1alpha1": "health checks are tested in test/install",
    "helm.toolkit.fluxcd.io/v2": "health checks are tested in test/install",
    "kustomize.toolkit.fluxcd.io/v1": "health checks are tested in test/install",
    "example.org/v1": "the kind of the tutorial, which test_tutorial.py runs",
    "v1": "a ConfigMap of Argo CD",
    "autoscaling/v2": "test_coming_from_kaiwo.py",
    "networking.k8s.io/v1": "test_coming_from_kaiwo.py",
    "rbac.authorization.k8s.io/v1": "a binding of a role of the manifests to a user",
}
"""Other groups whose objects pages show."""
DOCUMENTS = [
    (page, number, document)
    for page in pages()
    for number, (_, language, body) in enumerate(blocks_of(ROOT / page))
    if language == "yaml"
    for document in load_all_yaml(body)
]
OBJECTS = [one for one in DOCUMENTS if isinstance(one[2], dict) and "apiVersion" in one[2]]


@functools.cache
def schema_of(kind):
    """The schema of a kind of this group."""
    (version,) = OWN[kind].crd()["spec"]["versions"]
    return Schema.from_crd(version["schema"]["openAPIV3Schema"])


def problems_of(body):
    """What the API server would report about an object of this group."""
    schema = schema_of(body["kind"])
    pruned, unknown = schema.prune(body)
    return [*unknown, *schema.validate(pruned, None)]


@pytest.mark.parametrize(
    ("page", "body"),
    [(page, body) for page, _, body in OBJECTS if body["apiVersion"].startswith("aim.silogen.ai/")],
    ids=lambda value: value if isinstance(value, str) else value["metadata"]["name"],
)
def test_every_object_of_this_group_is_valid(page, body):
    assert problems_of(body) == []
    assert ("namespace" in body["metadata"]) == OWN[body["kind"]].resource.namespaced or page.endswith(
        "kaiwo.md"
    )


def test_objects_of_other_groups_are_checked_elsewhere():
    others = {body["apiVersion"] for _, _, body in OBJECTS} - {"aim.silogen.ai/v1alpha1"}
    assert others == set(ELSEWHERE)


def test_every_other_block_is_a_known_fragment():
    objects = [id(body) for _, _, body in OBJECTS]
    fragments = {
        (page, next(iter(body)) if isinstance(body, dict) else "list")
        for page, _, body in DOCUMENTS
        if id(body) not in objects
    }
    assert fragments == set(FRAGMENTS)


def test_the_fragment_of_the_security_page_is_valid():
    (fragment,) = [body for page, _, body in DOCUMENTS if page == "docs/security.md"]
    kind = {"apiVersion": "aim.silogen.ai/v1alpha1", "kind": "AIMClusterRuntimeConfig"}
    assert problems_of({**kind, "metadata": {"name": "x"}, **fragment}) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"modelName": "m", "metric": "fast"},
        {"modelName": "m", "gpuselector": {}},
        {"metric": "latency"},
    ],
    ids=["wrong value", "unknown field", "missing field"],
)
def test_an_invalid_object_is_found(spec):
    body = {"apiVersion": "aim.silogen.ai/v1alpha1", "kind": "AIMServiceTemplate", "metadata": {"name": "x"}}
    assert problems_of({**body, "spec": spec}) != []
