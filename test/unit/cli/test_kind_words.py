"""Words for kinds agree with the types; rights are asked for in words that grant them."""

from __future__ import annotations

import pytest

from aimctl.api.kinds import KINDS
from aimctl.api.v1alpha1 import GROUP
from aimctl.cli.kindwords import KIND_WORDS, find_kind, short_name
from aimctl.cli.rights import Right, asking_for, missing_rights, rights_json


def test_the_words_are_those_of_the_types():
    ours = {(one.kind, one.plural, (one.short,), one.namespaced) for one in KIND_WORDS}
    assert ours == {(kind.name, kind.plural, kind.short_names, kind.namespaced) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_known_by_all_its_names(kind):
    for word in (kind.name, kind.name.upper(), kind.plural, *kind.short_names, f"{kind.plural}.{GROUP}"):
        found = find_kind(word)
        assert found is not None, word
        assert found.kind == kind.name


@pytest.mark.parametrize("word", ["", "aim", "pods", "aimst.other.group", "aimservicetemplat"])
def test_other_words_are_no_kinds(word):
    assert find_kind(word) is None


def test_kinds_are_typed_in_their_short_form():
    assert short_name("AIMClusterServiceTemplate") == "aimclst"
    assert short_name("PersistentVolumeClaim") == "pvc"


def test_missing_rights_of_a_place_are_one_note_with_what_grants_them():
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


def test_what_the_role_view_does_not_hold_is_asked_for_by_name():
    text = asking_for([Right("get", "storage.k8s.io", "storageclasses")])
    assert "--verb=get,list --resource=storageclasses.storage.k8s.io" in text
    assert "clusterrole=view" not in text


def test_rights_for_programs_name_the_namespace_only_where_there_is_one():
    assert rights_json([Right("list", GROUP, "aimservices", "team"), Right("get", "", "nodes")]) == [
        {"verb": "list", "group": GROUP, "resource": "aimservices", "namespace": "team"},
        {"verb": "get", "group": "", "resource": "nodes"},
    ]
