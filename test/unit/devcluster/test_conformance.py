"""The embedded API server gives the responses that a real kube-apiserver gave to the same requests."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict

import aiohttp
import pytest

from conformance import recordings
from conformance.cases import Case, CaseError, Group, groups, read_group, substituted
from conformance.compare import (
    Known,
    compare,
    described_versions,
    differences,
    known_differences,
    version_differences,
)
from conformance.documents import openapi_document, picked
from conformance.normalize import Normalizer
from conformance.page import PAGE, page
from conformance.play import recorded_form
from conformance.runner import compare_embedded
from conformance.targets import RealServer

UID, OTHER = "11111111-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    "group",
    [
        # Its documents take longer than all other groups.
        pytest.param(group, id=group.name, marks=pytest.mark.proof if group.name == "openapi" else ())
        for group in groups()
    ],
)
def test_the_responses_are_those_of_the_real_server(group: Group) -> None:
    result = compare_embedded(group)
    texts = [f"{name}\n    {difference}" for name, found in result.failures.items() for difference in found]
    assert not texts, "\n".join(texts)
    assert not result.unneeded
    assert result.cases == len(group.cases)


def test_no_recording_depends_on_the_groups_that_were_played_before() -> None:
    """A real server plays all groups one after another, or one alone."""
    defined = set().union(*(_defined(group) for group in groups()))
    assert {"conform.example", "values.conform.example"} <= defined
    for group in groups():
        requests = json.dumps([asdict(case) for case in (*group.before, *group.cases)])
        others = {name for name in defined if name not in requests}
        texts = set(re.findall(r'"([^"]*)"', json.dumps(recordings.read(group))))
        assert not texts & {text for name in others for text in (name, f"{name}/v1")}, group.name


def _defined(group: Group) -> set[str]:
    """The API groups of the custom kinds that the requests before the cases define."""
    bodies = [case.body for case in group.before if isinstance(case.body, dict)]
    return {body["spec"]["group"] for body in bodies if body.get("kind") == "CustomResourceDefinition"}


def test_there_are_many_cases_and_few_differences() -> None:
    cases = sum(len(group.cases) for group in groups())
    different = {case for entry in known_differences() for case in entry.cases}
    assert cases >= 900
    assert len(different) < cases / 10
    assert different <= {f"{group.name}/{case.name}" for group in groups() for case in group.cases}


def test_the_differences_of_older_versions_name_cases_that_exist() -> None:
    present = {f"{group.name}/{case.name}" for group in groups() for case in group.cases}
    assert described_versions()
    for version in described_versions():
        different = [case for entry in version_differences(f"{version}.0") for case in entry.cases]
        assert len(different) == len(set(different))
        assert set(different) <= present
    assert version_differences("1.99.0") == ()


async def test_a_connection_that_the_server_closes_is_a_recorded_response() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        port = server.sockets[0].getsockname()[1]
        target = RealServer(session, f"http://127.0.0.1:{port}")
        response = await target.send("PATCH", "/api/v1/nodes/a", {}, b"[]", None)
        assert recorded_form(Case("a", "PATCH", "/api"), response, Normalizer()) == {"status": "no response"}
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as session:
            await RealServer(session, f"http://127.0.0.1:{port}").send("GET", "/api", {}, None, None)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(groups()), "run make docs"


def test_differences_name_the_field_and_distinguish_types() -> None:
    found = list(differences({"a": [1, {"b": True}], "c": 1}, {"a": [1.0, {"b": 1}, 2], "d": 1}, "body"))
    assert [difference.path for difference in found] == [
        "body.a[0]",
        "body.a[1].b",
        "body.a[2]",
        "body.c",
        "body.d",
    ]


def test_a_known_difference_covers_what_is_below_it_and_must_occur() -> None:
    known = [Known("r", ("body.a",), ("g/one", "g/two")), Known("r", ("status",), ("h/one",))]
    expected = {"one": {"body": {"a": {"b": 1}}}, "two": {"body": {"ab": 1}}}
    result = compare("g", expected, {"one": {"body": {"a": {}}}, "two": {"body": {}}}, known)
    assert (list(result.known), list(result.failures)) == (["one"], ["two"])
    assert result.unneeded == ["g/two: body.a (r)"]
    assert not result.passed
    assert result.equal == 0


def test_an_additional_or_missing_response_is_a_difference() -> None:
    result = compare("g", {"one": {"status": 200}}, {"two": {"status": 200}}, [])
    assert set(result.failures) == {"one", "two"}


def test_uids_and_versions_are_replaced_by_stable_texts() -> None:
    normalizer = Normalizer({"2026-01-01T00:00:00Z"})

    def seen(version: str, uid: str = UID) -> tuple[str, str]:
        metadata = normalizer.value({"metadata": {"name": "a", "uid": uid, "resourceVersion": version}})
        return metadata["metadata"]["uid"], metadata["metadata"]["resourceVersion"]

    assert [seen("5"), seen("7"), seen("5")] == [
        ("uid of a", "version 1 of a"),
        ("uid of a", "version 2 of a"),
        ("uid of a", "version 1 of a"),
    ]
    assert seen("9", OTHER) == ("uid of a (2)", "version 1 of a (2)")
    assert normalizer.text(f"{OTHER} at 2026-01-01T00:00:00Z, 2026-02-01T00:00:00.000001Z") == (
        "uid of a (2) at 2026-01-01T00:00:00Z, MICROTIME"
    )
    assert normalizer.value({"metadata": {"resourceVersion": "3", "continue": "x"}}) == {
        "metadata": {"resourceVersion": "VERSION", "continue": "TOKEN"}
    }


def test_random_orders_are_removed() -> None:
    causes = [{"field": "b"}, {"field": "a"}, {"field": "b"}]
    status = {"kind": "Status", "message": 'X "n" is invalid: [b, a, b]', "details": {"causes": causes}}
    assert Normalizer().value(status) == {
        "kind": "Status",
        "message": 'X "n" is invalid: CAUSES',
        "details": {"causes": [{"field": "a"}, {"field": "b"}]},
    }
    found = Normalizer().value({"kind": "APIResourceList", "resources": [{"name": "b"}, {"name": "a"}]})
    assert [each["name"] for each in found["resources"]] == ["a", "b"]
    entries = [{"operation": "Update", "manager": "b"}, {"operation": "Apply", "manager": "c"}]
    found = Normalizer().value({"metadata": {"managedFields": entries}})
    assert [each["manager"] for each in found["metadata"]["managedFields"]] == ["c", "b"]


def test_ages_in_tables_are_replaced() -> None:
    table = {
        "kind": "Table",
        "columnDefinitions": [{"name": "Name", "description": "x"}, {"name": "Age"}],
        "rows": [{"cells": ["5d", "5d"]}, {"cells": ["b", "<unknown>"]}],
    }
    found = Normalizer().value(table)
    assert found["columnDefinitions"] == [{"name": "Name"}, {"name": "Age"}]
    assert [row["cells"] for row in found["rows"]] == [["5d", "AGE"], ["b", "<unknown>"]]


def test_variables_are_replaced_in_texts_at_any_depth() -> None:
    variables = {"C": "/v1/$ns", "ns": "n"}
    assert substituted({"$ns": ["$C/a", "${x*3}", "$$patch", 5]}, variables) == {
        "n": ["/v1/n/a", "xxx", "$patch", 5]
    }
    with pytest.raises(CaseError, match="the variable rv has no value"):
        substituted("$rv", variables)


def test_a_pointer_selects_keys_indexes_and_named_items() -> None:
    value = {"a/b": [{"name": "x"}, {"name": "y", "c": None}]}
    assert picked(value, "a~1b/name=y") == {"name": "y", "c": None}
    assert picked(value, "a~1b/0/name") == "x"
    assert picked(value, "a~1b/name=y/c") is None
    assert picked(value, "a~1b/name=z/c") == picked(value, "none") == picked(value, "a~1b/9") == "ABSENT"


def test_an_openapi_document_as_protobuf_has_the_form_of_json() -> None:
    from aimctl.devcluster.apiserver.openapi.gnostic import encode_openapi_v2

    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "format": "byte"},
            "b": {"type": "array", "items": {"$ref": "#/definitions/x"}},
            "c": {"type": "object", "additionalProperties": {"type": "integer", "format": "int32"}},
        },
        "x-kubernetes-list-map-keys": ["k"],
    }
    info = {"title": "t", "version": "v"}
    document = {"swagger": "2.0", "info": info, "definitions": {"x": schema}}
    media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert openapi_document(encode_openapi_v2(document), media) == {
        "swagger": "2.0",
        "definitions": {"x": schema},
    }


@pytest.mark.parametrize(
    ("cases", "problem"),
    [
        ([{"name": "a", "send": "GET /", "boddy": 1}], "unknown field boddy"),
        ([{"name": "a", "send": "GET /"}, {"name": "a", "send": "GET /"}], "cases with the same name: a"),
    ],
    ids=["unknown field", "repeated name"],
)
def test_a_malformed_file_of_cases_is_an_error(tmp_path, cases, problem) -> None:
    file = tmp_path / "g.yaml"
    file.write_text(json.dumps({"about": "x", "cases": cases}), encoding="utf-8")
    with pytest.raises(CaseError, match=problem):
        read_group(file)


def test_a_recording_of_other_requests_is_out_of_date(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recordings, "FOLDER", tmp_path)
    file = tmp_path / "g.yaml"
    file.write_text('{"about": "x", "cases": [{"name": "a", "send": "GET /"}]}', encoding="utf-8")
    group = read_group(file)
    with pytest.raises(recordings.RecordingError, match="is missing; run make conformance-record"):
        recordings.read(group)
    recordings.write(group, {"a": {"status": 200}}, "1.36.3")
    assert recordings.read(group) == {"a": {"status": 200}}
    assert recordings.version(group) == "1.36.3"
    file.write_text('{"about": "x", "cases": [{"name": "a", "send": "GET /a"}]}', encoding="utf-8")
    with pytest.raises(recordings.RecordingError, match="out of date: the requests have changed"):
        recordings.read(read_group(file))
