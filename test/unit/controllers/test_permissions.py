"""Permissions are declared next to the components that need them, and collected without registration."""

from __future__ import annotations

import re
from pathlib import Path

import aimctl
from aimctl.controllers.permissions import reconciler_permissions
from aimctl.kubetypes.builtin import EVENTS, LEASES
from aimctl.kubetypes.permissions import Permission
from aimctl.runtime import EVENT_PERMISSIONS, LEADER_ELECTION_PERMISSIONS

SOURCES = Path(aimctl.__file__).parent


def declaring_modules():
    """The modules of the operator and of the manager that assign PERMISSIONS."""
    for folder in ("controllers", "runtime"):
        for path in sorted((SOURCES / folder).rglob("*.py")):
            if re.search(r"^PERMISSIONS\b", path.read_text(encoding="utf-8"), re.MULTILINE):
                yield path.relative_to(SOURCES).as_posix()


def test_every_declared_permission_is_collected():
    declared = set(declaring_modules())
    assert {name for name in declared if name.startswith("runtime/")} == {
        "runtime/manager/leaderelection/election.py",
        "runtime/manager/events/recorder.py",
    }
    assert len(declared) > 4
    collected = set(reconciler_permissions())
    for name in declared:
        if name.startswith("controllers/"):
            module = __import__(f"aimctl.{name[:-3].replace('/', '.')}", fromlist=["PERMISSIONS"])
            assert set(module.PERMISSIONS) <= collected


def test_every_permission_has_verbs_and_a_reason_without_a_full_stop():
    for permission in (*reconciler_permissions(), *EVENT_PERMISSIONS, *LEADER_ELECTION_PERMISSIONS):
        assert isinstance(permission, Permission)
        assert permission.verbs
        assert permission.reason
        assert not permission.reason.endswith(".")


def test_events_and_leases_are_the_managers_own():
    assert {permission.resource for permission in EVENT_PERMISSIONS} == {EVENTS}
    assert {permission.resource.plural for permission in LEADER_ELECTION_PERMISSIONS} == {LEASES.plural}
    assert not {EVENTS, LEASES} & {permission.resource for permission in reconciler_permissions()}
