"""Kinds by the names of their definitions; and missing rights with what grants them."""

from __future__ import annotations

import pytest

from aimctl.api.kinds import KINDS
from aimctl.api.v1alpha1 import GROUP
from aimctl.cli.kinds import find_kind, noun, short_name, summary_of
from aimctl.cli.questions.answers import Right
from aimctl.cli.questions.rights import how_to_get, missing_rights, rights_json


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_known_by_all_its_names(kind):
    for word in (kind.name, kind.name.upper(), kind.plural, *kind.short_names, f"{kind.plural}.{GROUP}"):
        assert find_kind(word) is kind, word
    assert summary_of(kind).endswith(".")


@pytest.mark.parametrize("word", ["", "aim", "pods", "aimst.other.group", "aimservicetemplat"])
def test_other_words_are_no_kinds(word):
    assert find_kind(word) is None


def test_a_kind_is_typed_in_its_short_form_and_read_as_a_noun():
    assert short_name("AIMClusterServiceTemplate") == "aimclst"
    assert short_name("PersistentVolumeClaim") == "persistentvolumeclaim"
    assert noun("AIMClusterServiceTemplate") == "cluster template"
    assert noun("InferenceService") == "inference service"


def test_missing_rights_of_a_namespace_are_one_note_with_what_grants_them():
    rights = [
        Right("list", GROUP, "aimservices", "team"),
        Right("list", "batch", "jobs", "team"),
        Right("get", GROUP, "aimmodels", "team"),
        Right("list", GROUP, "aimclusterservicetemplates"),
    ]
    first, second = missing_rights(rights)
    assert (
        "get aimmodels.aim.silogen.ai; list aimservices.aim.silogen.ai, jobs.batch in namespace 'team'"
        in first
    )
    assert "kubectl create rolebinding aim-view -n team --clusterrole=view --user=YOU" in first
    assert "list aimclusterservicetemplates.aim.silogen.ai at cluster scope" in second
    assert "kubectl create clusterrolebinding aim-view --clusterrole=view --user=YOU" in second


def test_a_right_outside_of_the_role_view_is_named():
    text = how_to_get([Right("get", "storage.k8s.io", "storageclasses")])
    assert "--verb=get,list --resource=storageclasses.storage.k8s.io" in text
    assert "clusterrole=view" not in text


def test_a_right_for_the_whole_cluster_has_no_namespace_in_a_document():
    assert rights_json([Right("list", GROUP, "aimservices", "team"), Right("get", "", "nodes")]) == [
        {"verb": "list", "group": GROUP, "resource": "aimservices", "namespace": "team"},
        {"verb": "get", "group": "", "resource": "nodes"},
    ]
