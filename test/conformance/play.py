"""Plays a group of cases on a server and returns the normalized responses by the names of the cases."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import yaml

from conformance.cases import Case, CaseError, substituted
from conformance.documents import openapi_document, picked
from conformance.normalize import Normalizer
from conformance.targets import NO_RESPONSE, as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.cases import Group
    from conformance.targets import Response, Target

_REPEAT_SECONDS = 0.2
_REPETITIONS = 150
_HEADERS = ("Warning", "Retry-After")


async def play(group: Group, target: Target) -> dict[str, dict[str, Any]]:
    """The normalized response to each case, in order.

    Raises:
        CaseError: a preparing request failed, a variable has no value, or ``until`` was not reached.
    """
    normalizer = Normalizer(group.times)
    variables = {"ns": group.namespace, **group.vars}
    for case in (*_preparation(), *group.before):
        response = await _sent(case, target, variables)
        if response.status == NO_RESPONSE or response.status >= 400:
            raise CaseError(f"{group.name}: {case.name}: {response.status} {response.body[:500]!r}")
        normalizer.value(as_json(response.body))
    results = {}
    for case in group.cases:
        response = await _sent(case, target, variables)
        results[case.name] = recorded_form(case, response, normalizer)
    return results


def _preparation() -> tuple[Case, ...]:
    account = "/api/v1/namespaces/$ns/serviceaccounts"
    return (
        Case("namespace", "POST", "/api/v1/namespaces", {"metadata": {"name": "$ns"}}),
        Case("account", "POST", account, {"metadata": {"name": "default"}}),
    )


async def _sent(case: Case, target: Target, variables: dict[str, str]) -> Response:
    headers = {"Accept": case.accept or "application/json"}
    body = None
    if case.raw is not None:
        body = substituted(case.raw, variables).encode()
    elif case.body is not None:
        body = json.dumps(substituted(case.body, variables)).encode()
    if body is not None:
        headers["Content-Type"] = case.media
    path = substituted(case.path, variables)
    response = await target.send(case.method, path, headers, body, case.watch)
    for _ in range(_REPETITIONS):
        if case.until in (None, response.status):
            break
        await asyncio.sleep(_REPEAT_SECONDS)
        response = await target.send(case.method, path, headers, body, case.watch)
    else:
        raise CaseError(f"{case.name}: no response {case.until}: {response.status} {response.body[:500]!r}")
    if case.save:
        _save(case, response, variables)
    return response


def _save(case: Case, response: Response, variables: dict[str, str]) -> None:
    body: Any = as_json(response.body)
    for name, path in case.save.items():
        value = body
        for step in path.split("."):
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]
            except (KeyError, IndexError, TypeError) as error:
                shown = response.body[:500]
                raise CaseError(f"{case.name}: no {path} to save in {response.status} {shown!r}") from error
        variables[name] = str(value)


def recorded_form(case: Case, response: Response, normalizer: Normalizer) -> dict[str, Any]:
    """What is recorded of the response to a case."""
    if response.status == NO_RESPONSE:
        return {"status": "no response"}
    headers: Mapping[str, str] = response.headers
    result: dict[str, Any] = {"status": response.status}
    media = headers.get("Content-Type", "")
    if media != "application/json":
        result["type"] = media
    for name in _HEADERS:
        if name in headers:
            # aiohttp shows the first of several headers with one name; the embedded server joins them.
            values = headers.getall(name) if hasattr(headers, "getall") else [headers[name]]  # type: ignore[attr-defined]
            result[name.lower()] = normalizer.text(", ".join(values))
    if case.watch is not None and response.status == 200:
        result["events"] = [normalizer.value(as_json(line)) for line in response.body.splitlines()]
        if response.ended:
            result["ended"] = True
        return result
    if case.pick and response.status < 300:
        if case.path.startswith("/openapi"):
            document = openapi_document(response.body, media)
            result["parts"] = {
                name: normalizer.value(picked(document, name), openapi=True) for name in case.pick
            }
        else:
            body = normalizer.value(as_json(response.body))
            result["parts"] = {name: picked(body, name) for name in case.pick}
        return result
    if response.body and case.method != "HEAD":
        # The style of YAML differs, and the order of keys has no meaning.
        is_yaml = media.startswith("application/yaml")
        body = yaml.load(response.body, yaml.BaseLoader) if is_yaml else as_json(response.body)
        result["body"] = normalizer.value(body)
    return result
