"""Whatever a server returns, the result is an error of the hierarchy.

The error names the location and a remedy, and shows no secret.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

import aimctl.runtime
from aimctl.kubetypes import Object
from aimctl.kubetypes.builtin import SECRETS
from aimctl.runtime.kube import Client, KubeError
from aimctl.runtime.kube.discovery import discover
from aimctl.runtime.kube.errors import Forbidden, error_from_status
from aimctl.testing import run_virtual, virtual_clock, virtual_time
from support.adversary import HIDDEN, Answer, bodies, headers, statuses
from support.proofs import variants
from support.reconciling import HandFed, Scripted, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from aimctl.runtime.kube.transport import HttpRequest


class Adversary:
    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    @asynccontextmanager
    async def send(self, request: HttpRequest, **_: Any) -> AsyncIterator[Answer]:
        yield self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def aclose(self) -> None: ...


async def watched(client: Client, **options: Any) -> list[Any]:
    async with client.watch(
        SECRETS, "d", resource_version="1", timeout_seconds=5, idle_seconds=5, **options
    ) as events:
        return [event async for event in events]


async def all_of(client: Client) -> list[Object[Any]]:
    found = []
    async for obj in client.list_all(SECRETS, "d", page_size=2):
        found.append(obj)
        if len(found) > 50:
            break
    return found


BODY = {"metadata": {"name": "a", "namespace": "d"}}
OPERATIONS: Mapping[str, Callable[[Client], Awaitable[Any]]] = {
    "get": lambda c: c.get(SECRETS, "a", "d"),
    "get metadata": lambda c: c.get(SECRETS, "a", "d", metadata_only=True),
    "list": lambda c: c.list(SECRETS, "d"),
    "list skipping": lambda c: c.list(SECRETS, "d", skip_unreadable=True, metadata_only=True),
    "list all": all_of,
    "watch": watched,
    "stream": lambda c: watched(c, initial_idle_seconds=5),
    "logs": lambda c: c.logs("a", "d"),
    "read": lambda c: c.read("/version"),
    "discover": discover,
    "create": lambda c: c.create(SECRETS, BODY),
    "update": lambda c: c.update(SECRETS, BODY),
    "patch": lambda c: c.patch(SECRETS, "a", {}, "d"),
    "apply": lambda c: c.apply(SECRETS, BODY),
    "status": lambda c: c.patch(SECRETS, "a", {}, "d", subresource="status"),
    "scale": lambda c: c.patch(SECRETS, "a", {}, "d", subresource="scale"),
    "delete": lambda c: c.delete(SECRETS, "a", "d", uid="u"),
}


def check(error: KubeError, status: int) -> None:
    notes = getattr(error, "__notes__", ())
    assert error.remedy
    assert f"remedy: {error.remedy}" in notes, "tracebacks show it"
    text = "\n".join([str(error), *notes])
    assert len(text) < 4000
    if status < 300:
        assert HIDDEN not in text
    assert "secrets" in text or "/api" in text or "Secret" in text or "/version" in text, text


@pytest.mark.parametrize("operation", variants(list(OPERATIONS), quick=2))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(status=statuses, head=headers, body=bodies, sizes=st.lists(st.integers(0, 40), max_size=3))
def test_any_response_is_a_result_or_an_error_of_the_hierarchy(operation, status, head, body, sizes) -> None:
    async def scenario() -> None:
        observed = []
        client = Client(
            Adversary(Answer(status, head, body, sizes)),
            clock=virtual_clock(),
            on_write=observed.append,
            on_delete=lambda *facts: observed.append(facts),
            on_warning=observed.append,
        )
        try:
            result = await OPERATIONS[operation](client)
        except KubeError as error:
            check(error, status)
        else:
            assert status < 300
            for obj in result if isinstance(result, list) else [result]:
                if isinstance(obj, Object):
                    assert obj.meta.name is not None

    run_virtual(scenario())


ERRORS = {
    name: found
    for name in aimctl.runtime.__all__
    if isinstance(found := getattr(aimctl.runtime, name), type) and issubclass(found, KubeError)
}
IN_THE_TEXT = {
    "AlreadyOwned",
    "ConfigurationError",
    "EncodeError",
    "InvalidOwner",
    "KubeError",
    "MetadataOnly",
}
"""Errors that this library raises for one mistake each: the text of each has its remedy."""

INSTRUCTION = re.compile(
    r"(check|correct|grant|install|list|make|read|renew|repeat|update|use|write)\b", re.IGNORECASE
)


@pytest.mark.parametrize("name", ERRORS)
def test_every_class_of_errors_has_an_instruction_as_its_remedy(name: str) -> None:
    remedy = ERRORS[name].remedy
    assert (remedy == "") == (name in IN_THE_TEXT)
    assert not remedy or INSTRUCTION.match(remedy)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 415, 418, 422, 429, 500, 504])
def test_the_remedies_of_different_answers_differ(status: int) -> None:
    """Errors of one class have one remedy, and those of two classes do not."""
    error = error_from_status(status)
    same = {other for other in range(400, 505) if error_from_status(other).remedy == error.remedy}
    assert same == {other for other in range(400, 505) if type(error_from_status(other)) is type(error)}


@virtual_time
async def test_the_log_of_a_failed_reconcile_has_the_remedy() -> None:
    with capture_logs() as logs:
        async with running(
            Scripted(Forbidden(403, "Forbidden", "may not"), OSError("x"), None), HandFed("a")
        ):
            await asyncio.sleep(1)
    server, other = (entry for entry in logs if entry["event"] == "reconcile failed")
    assert (server["error"], server["remedy"]) == ("may not", Forbidden.remedy)
    assert "remedy" not in other
