"""Derived templates: names, contents, following the base, and the search for a template that fits."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.api.v1alpha1.services import ServiceOverrides
from aimctl.devcluster.apiserver.apply.patches import merge_patch
from aimctl.domain.services.derivation.derived_template import (
    base_name,
    changes_from_base,
    derived_name,
    derived_spec,
    derived_template,
    has_profile_of,
    overrides_of,
    profile_of,
)
from aimctl.domain.services.derivation.matching import find_match, find_match_without_base
from aimctl.domain.templates.template import Template
from support.derived import edited, template_of
from support.services import TEAM, service, template
from support.things import with_fields, with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
FAST = {"metric": "throughput"}


def overrides(said: Mapping[str, Any]) -> ServiceOverrides:
    return ServiceOverrides.model_validate(said)


def derive(base: Template, said: Mapping[str, Any], *, uid: str = "derived-uid") -> Template:
    manifest = derived_template(base, overrides(said), service().obj, RuntimeConfigSpec())
    return template_of(manifest, uid=uid)


# ---- any base, any overrides

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True).filter(str.isascii)
METRICS = st.sampled_from(["latency", "throughput"])
PRECISIONS = st.sampled_from(["auto", "fp8", "fp16", "bf16"])
GPUS = st.fixed_dictionaries(
    {},
    optional={"count": st.integers(1, 16), "model": st.sampled_from(["MI300X", "Instinct MI300X", "H100"])},
)
OVERRIDES = st.fixed_dictionaries(
    {}, optional={"metric": METRICS, "precision": PRECISIONS, "gpuSelector": GPUS}
).filter(lambda said: bool({**said, "gpuSelector": None} if said.get("gpuSelector") else said))
ENV = st.lists(
    st.builds(lambda name, value: {"name": name, "value": value}, LABELS, st.text(max_size=4)),
    max_size=2,
    unique_by=lambda item: item["name"],
)
SPECS = st.fixed_dictionaries(
    {"modelName": st.just("llama")},
    optional={
        "metric": METRICS,
        "precision": PRECISIONS,
        "gpuSelector": GPUS,
        "runtimeConfigName": LABELS,
        "serviceAccountName": LABELS,
        "imagePullSecrets": st.lists(st.builds(lambda name: {"name": name}, LABELS), max_size=2),
        "resources": st.fixed_dictionaries(
            {}, optional={"limits": st.dictionaries(LABELS, st.just("1"), max_size=2)}
        ),
        "env": ENV,
        "caching": st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "env": ENV}),
    },
)


@st.composite
def bases(draw: st.DrawFn) -> Template:
    cluster, spec = draw(st.booleans()), draw(SPECS)
    if cluster:
        spec = {name: value for name, value in spec.items() if name not in ("env", "caching")}
    return with_fields(template(draw(LABELS), cluster=cluster), spec=spec)


def says_something(said: Mapping[str, Any]) -> bool:
    return bool(said.get("metric") or said.get("precision") or said.get("gpuSelector"))


@given(LABELS, OVERRIDES)
def test_the_name_is_a_dns_label_and_always_the_same(base: str, said: dict[str, Any]) -> None:
    assume(says_something(said))
    name = derived_name(base, overrides(said))
    assert len(name) <= 63
    assert DNS_LABEL.fullmatch(name)
    assert name == derived_name(base, overrides(dict(reversed(said.items()))))


@given(st.lists(LABELS, min_size=2, max_size=4).map(".".join), OVERRIDES)
def test_a_base_with_dots_in_its_name_gives_a_valid_object_name(base: str, said: dict[str, Any]) -> None:
    assume(says_something(said))
    name = derived_name(base, overrides(said))
    assert len(name) <= 63
    assert SUBDOMAIN.fullmatch(name)


@given(st.lists(LABELS, min_size=2, max_size=2, unique=True), OVERRIDES, OVERRIDES)
def test_other_bases_and_other_overrides_give_other_names(
    names: list[str], one: dict[str, Any], other: dict[str, Any]
) -> None:
    assume(says_something(one) and says_something(other))
    assert derived_name(names[0], overrides(one)) != derived_name(names[1], overrides(one))
    same = {**one, "gpuSelector": one.get("gpuSelector") or None} == {
        **other,
        "gpuSelector": other.get("gpuSelector") or None,
    }
    assert (derived_name(names[0], overrides(one)) == derived_name(names[0], overrides(other))) == same


@given(bases(), OVERRIDES)
def test_deriving_again_from_the_result_changes_nothing(base: Template, said: dict[str, Any]) -> None:
    assume(says_something(said))
    once = derive(base, said)
    again = derived_spec(once.view.spec, overrides(said))
    assert again == derived_spec(base.view.spec, overrides(said))
    seen = service(templates=[base, once], spec={"overrides": said})
    match = find_match(seen, once)
    assert match is not None
    assert profile_of(match.view.spec) == profile_of(once.view.spec)
    assert changes_from_base(base, once) == {}


@given(bases(), OVERRIDES)
def test_everything_except_the_overrides_comes_from_the_base(base: Template, said: dict[str, Any]) -> None:
    assume(says_something(said))
    got, was = derived_spec(base.view.spec, overrides(said)), base.view.spec.to_json()
    for name in ("metric", "precision"):
        assert got.pop(name, None) == said.get(name, was.pop(name, None))
        was.pop(name, None)
    wanted = {**was.pop("gpuSelector", {}), **said.get("gpuSelector", {})}
    assert got.pop("gpuSelector", {}) == wanted
    assert got == was


@given(bases(), OVERRIDES)
def test_the_template_contains_nothing_else_of_a_service_than_its_owner_reference(
    base: Template, said: dict[str, Any]
) -> None:
    assume(says_something(said))
    assume("own" not in json.dumps([base.view.spec.to_json(), said]))
    own = {
        "overrides": said,
        "replicas": 7,
        "cacheModel": True,
        "runtimeConfigName": "own-config",
        "serviceAccountName": "own-account",
        "env": [{"name": "OWN_VARIABLE", "value": "own-value"}],
        "imagePullSecrets": [{"name": "own-secret"}],
        "resources": {"limits": {"own/resource": "1"}},
    }
    plain, full = service(spec={"overrides": said}), service(spec=own)
    made = [
        derived_template(base, seen.spec.overrides or overrides({}), seen.obj, RuntimeConfigSpec())
        for seen in (plain, full)
    ]
    assert made[0] == made[1]
    assert "own" not in json.dumps(made[1]["spec"])


@given(bases(), OVERRIDES)
def test_the_name_determines_the_overrides_and_the_base_leads_to_the_profile(
    base: Template, said: dict[str, Any]
) -> None:
    assume(says_something(said))
    made = derive(base, said)
    found = overrides_of(made)
    assert found is not None
    assert derived_name("x", found) == derived_name("x", overrides(said))
    assert has_profile_of(base, made)


@given(bases(), bases(), OVERRIDES)
def test_the_patch_brings_the_changes_of_the_base_in_and_no_other_is_needed(
    base: Template, other: Template, said: dict[str, Any]
) -> None:
    assume(says_something(said))
    was, new = base.view.spec.to_json(), other.view.spec.to_json()
    fixed = ("modelName", "metric", "precision", "gpuSelector")
    spec = {name: value for name, value in new.items() if name not in fixed}
    gone = {name: None for name in was if name not in fixed and name not in spec}
    if not base.meta.namespace:
        spec = {name: value for name, value in spec.items() if name not in ("env", "caching")}
    changed = edited(base, **gone, **spec)
    made = derive(base, said)
    patch = changes_from_base(changed, made)
    assert not set(patch) & set(fixed)
    after = with_fields(made, spec=merge_patch(made.view.spec.to_json(), patch))
    assert (
        after.view.spec == with_fields(made, spec=derived_spec(changed.view.spec, overrides(said))).view.spec
    )
    assert changes_from_base(changed, after) == {}


# ---- names


def test_the_hash_is_the_sha_256_of_the_canonical_json() -> None:
    said = {"gpuSelector": {"model": "MI325X", "count": 4}, "precision": "fp16", "metric": "throughput"}
    text = b'{"gpuSelector":{"count":4,"model":"MI325X"},"metric":"throughput","precision":"fp16"}'
    assert (
        derived_name("base-template", overrides(said)) == f"base-template-ovr-{sha256(text).hexdigest()[:8]}"
    )


@pytest.mark.parametrize("said", [None, {}, {"gpuSelector": {}}, {"metric": None}])
def test_empty_overrides_lead_to_no_name(said: dict[str, Any] | None) -> None:
    with pytest.raises(ValueError, match="nothing is overridden"):
        derived_name("base", None if said is None else overrides(said))


# ---- contents


def test_the_template_is_in_the_services_namespace_with_labels_and_owner_also_for_a_cluster_base() -> None:
    for cluster in (False, True):
        made = derived_template(
            template("base", cluster=cluster), overrides(FAST), service().obj, RuntimeConfigSpec()
        )
        assert made["kind"] == "AIMServiceTemplate"
        meta = made["metadata"]
        assert meta["namespace"] == TEAM
        assert meta["labels"] == {
            "app.kubernetes.io/managed-by": "aim",
            "aim.silogen.ai/derived-template": "true",
        }
        assert meta["annotations"] == {"aim.silogen.ai/base-template": "base"}
        assert meta["ownerReferences"] == [
            {
                "apiVersion": "aim.silogen.ai/v1alpha1",
                "kind": "AIMService",
                "name": "chat",
                "uid": "service-uid",
                "controller": False,
                "blockOwnerDeletion": False,
            }
        ]


def test_the_documents_example() -> None:
    base = edited(
        template("base-template", metric="latency", precision="fp8"), imagePullSecrets=[{"name": "registry"}]
    )
    assert derived_spec(base.view.spec, overrides({"metric": "throughput", "precision": "fp16"})) == {
        "modelName": "llama",
        "metric": "throughput",
        "precision": "fp16",
        "gpuSelector": {"count": 1, "model": "MI300X"},
        "imagePullSecrets": [{"name": "registry"}],
    }


def test_fields_of_the_gpu_selector_are_replaced_one_by_one() -> None:
    got = derived_spec(template().view.spec, overrides({"gpuSelector": {"count": 4}}))
    assert got["gpuSelector"] == {"count": 4, "model": "MI300X"}


def test_labels_of_the_base_are_copied_as_the_runtime_config_specifies_and_the_operators_take_precedence() -> (
    None
):
    config = RuntimeConfigSpec.model_validate({"labelPropagation": {"enabled": True, "match": ["*"]}})
    base = with_meta(template(), labels={"team": "a", "app.kubernetes.io/managed-by": "helm"})
    labels = derived_template(base, overrides(FAST), service().obj, config)["metadata"]["labels"]
    assert labels == {
        "team": "a",
        "app.kubernetes.io/managed-by": "aim",
        "aim.silogen.ai/derived-template": "true",
    }


# ---- the search

BASE = template("base")
WANTED: dict[str, Any] = {"metric": "throughput"}
DERIVED_ONE = derive(BASE, FAST)
OTHER_BASE = template("a-base")
OTHERS = derive(OTHER_BASE, FAST, uid="others-uid")


def found(*there: Template, base: Template | None = BASE, **differs: Any) -> str | None:
    """The name of the match, the same in whatever order the templates come."""
    differs = {"spec": {"overrides": FAST, "templateRef": "base"}, **differs}
    names = set()
    for order in permutations(there):
        seen = service(templates=order, **differs)
        match = find_match_without_base(seen) if base is None else find_match(seen, base)
        names.add(match.meta.name if match is not None else None)
    (only,) = names
    return only


def test_failed_templates_come_after_all_others_even_if_they_are_in_use() -> None:
    failed, ready = template("a", "Failed", **WANTED), template("b", **WANTED)
    assert found(BASE, failed) == "a"
    assert found(BASE, failed, ready) == "b"
    assert found(BASE, failed, ready, current=failed) == "b"
    assert found(BASE, ready, failed, current=ready) == "b"


def test_without_a_fitting_template_there_is_no_match() -> None:
    assert found(BASE) is None
    assert found() is None


@pytest.mark.parametrize(
    "differs",
    [
        {"metric": "latency"},
        {"precision": "fp8"},
        {"precision": None},
        {"gpu": (2, "MI300X")},
        {"gpu": (1, "MI325X")},
        {"gpu": (1, None)},
        {"gpu": None},
        {"model_name": "other"},
        {"deleting": True},
    ],
    ids=str,
)
def test_a_template_that_differs_in_a_single_field_does_not_fit(differs: dict[str, Any]) -> None:
    assert found(BASE, template("hand", **{**WANTED, **differs})) is None
    assert found(BASE, template("hand", **WANTED)) == "hand"


@pytest.mark.parametrize(
    "differs",
    [
        {"env": [{"name": "LD_PRELOAD", "value": "/tmp/other.so"}]},
        {"serviceAccountName": "other"},
        {"imagePullSecrets": [{"name": "other"}]},
        {"resources": {"limits": {"cpu": "64"}}},
        {"runtimeConfigName": "other"},
        {"modelSources": [{"name": "m", "sourceURI": "hf://other/m", "size": "1Gi"}]},
        {"caching": {"enabled": True}},
    ],
    ids=lambda differs: next(iter(differs)),
)
def test_a_template_with_the_profile_and_another_spec_does_not_fit(differs: dict[str, Any]) -> None:
    other = edited(template("hand", **WANTED), **differs)
    assert found(BASE, other) is None
    assert found(BASE, other, current=other) is None
    in_cluster = {name: value for name, value in differs.items() if name not in {"env", "caching"}}
    if in_cluster:
        assert found(BASE, edited(template("hand", cluster=True, **WANTED), **in_cluster)) is None
    assert found(edited(BASE, **differs), other, base=edited(BASE, **differs)) == "hand"


def test_fields_with_their_default_value_fit_a_spec_without_them() -> None:
    defaults = {
        "runtimeConfigName": "default",
        "env": [],
        "imagePullSecrets": [],
        "caching": {"enabled": False},
    }
    assert found(BASE, edited(template("hand", **WANTED), **defaults)) == "hand"


def test_the_template_derived_from_this_base_fits_while_it_follows_a_change_of_the_base() -> None:
    changed = edited(BASE, serviceAccountName="new")
    assert found(changed, DERIVED_ONE, base=changed) == DERIVED_ONE.meta.name


def test_gpu_models_are_compared_in_normalised_form() -> None:
    assert found(BASE, template("hand", **WANTED, gpu=(1, "AMD Instinct MI300X"))) == "hand"


def test_a_cluster_template_whose_model_is_hidden_by_a_namespaced_one_does_not_fit() -> None:
    there = template("hand", cluster=True, **WANTED)
    assert found(BASE, there) == "hand"
    assert found(BASE, there, own_model=True) is None


def test_the_order_of_the_search() -> None:
    """Each is found when those before it do not exist."""
    in_use = template("z-in-use", **WANTED)
    by_name = [in_use, DERIVED_ONE, template("b-hand", **WANTED), template("c-hand", **WANTED)]
    clusters = [template("d-cluster", cluster=True, **WANTED), template("e-cluster", cluster=True, **WANTED)]
    order = [*by_name, *clusters, OTHERS]
    for first in range(len(order)):
        left = order[first:]
        assert found(BASE, OTHER_BASE, *left[:3], current=in_use) == left[0].meta.name


def test_the_base_itself_may_fit_and_comes_before_others_of_its_scope() -> None:
    base = template("base", metric="throughput")
    assert found(base, template("a-hand", **WANTED), base=base) == "base"


def test_the_state_does_not_affect_what_fits() -> None:
    assert found(BASE, template("hand", "Failed", **WANTED)) == "hand"


def test_a_template_derived_from_another_base_fits_only_while_that_base_leads_to_its_profile() -> None:
    assert found(BASE, OTHERS, OTHER_BASE) == OTHERS.meta.name
    assert found(BASE, OTHERS) is None
    assert found(BASE, OTHERS, template("a-base", precision="fp8")) is None


def test_the_current_template_stays_if_its_other_base_does_not_exist_but_not_if_that_base_differs() -> None:
    assert found(BASE, OTHERS, current=OTHERS) == OTHERS.meta.name
    assert found(BASE, OTHERS, template("a-base", precision="fp8"), current=OTHERS) is None


def test_a_template_that_was_not_derived_may_have_the_derived_name_and_fit() -> None:
    name = DERIVED_ONE.meta.name
    assert found(BASE, template(name, **WANTED)) == name
    assert found(BASE, template(name)) is None


def test_without_a_base_the_template_derived_for_these_overrides_is_kept() -> None:
    theirs = with_meta(DERIVED_ONE, ownerReferences=[{"uid": "x", "kind": "AIMService", "name": "x"}])
    mine = DERIVED_ONE
    assert found(mine, base=None) == DERIVED_ONE.meta.name
    assert found(theirs, base=None, current=theirs) == DERIVED_ONE.meta.name
    assert found(theirs, base=None) is None
    assert found(mine, base=None, spec={"overrides": {"metric": "latency"}}) is None
    other_name = {"overrides": FAST, "templateRef": "another"}
    assert found(mine, base=None, spec=other_name) is None
    assert found(mine, base=None, spec={"overrides": FAST}) == DERIVED_ONE.meta.name


# ---- following


def test_changes_of_the_base_are_followed_field_by_field() -> None:
    base = edited(
        BASE,
        serviceAccountName="runner",
        imagePullSecrets=[{"name": "a"}],
        resources={"limits": {"cpu": "1", "memory": "1Gi"}},
        env=[{"name": "A", "value": "1"}],
        caching={"enabled": True},
    )
    made = derive(base, FAST)
    changed = edited(
        base,
        serviceAccountName=None,
        imagePullSecrets=[{"name": "b"}],
        resources={"limits": {"cpu": "2"}, "requests": {"cpu": "1"}},
        runtimeConfigName="other",
        caching={"enabled": False},
    )
    assert changes_from_base(changed, made) == {
        "serviceAccountName": None,
        "imagePullSecrets": [{"name": "b"}],
        "resources": {"limits": {"cpu": "2", "memory": None}, "requests": {"cpu": "1"}},
        "runtimeConfigName": "other",
        "caching": {"enabled": False},
    }


def test_fields_that_a_cluster_base_does_not_have_are_removed() -> None:
    """Otherwise a user who may edit templates runs code in the pods of the services that share this one."""
    base = template("base", cluster=True)
    made = derive(base, FAST)
    assert changes_from_base(base, edited(made, caching={"enabled": False}, env=[])) == {}
    foreign = edited(made, env=[{"name": "LD_PRELOAD", "value": "/tmp/x.so"}], caching={"enabled": True})
    assert changes_from_base(base, foreign) == {"env": None, "caching": None}
    changed = edited(base, serviceAccountName="a")
    assert changes_from_base(changed, made) == {"serviceAccountName": "a"}


@pytest.mark.parametrize(
    "base",
    [
        template("base", precision="fp8"),
        template("base", model_name="other"),
        template("base", gpu=(8, "MI300X")),
        template("base", deleting=True),
    ],
    ids=["precision", "model", "gpu", "deleting"],
)
def test_a_base_that_leads_to_another_profile_is_not_followed(base: Template) -> None:
    made = derive(BASE, FAST)
    assert not has_profile_of(base, made)
    assert changes_from_base(edited(base, serviceAccountName="a"), made) == {}


def test_a_base_that_was_created_again_with_another_overridden_value_is_still_the_base() -> None:
    assert has_profile_of(template("base", metric="throughput", uid="new"), derive(BASE, FAST))


@pytest.mark.parametrize("name", ["base-ovr-00000000", "anything"])
def test_no_overrides_are_found_for_other_names(name: str) -> None:
    made = with_meta(DERIVED_ONE, name=name)
    assert overrides_of(made) is None
    assert not has_profile_of(BASE, made)
    assert overrides_of(with_meta(made, annotations={})) is None


def test_only_a_namespaced_template_with_the_label_was_derived() -> None:
    assert base_name(DERIVED_ONE) == "base"
    assert base_name(with_meta(DERIVED_ONE, labels={})) == ""
    assert base_name(BASE) == ""
