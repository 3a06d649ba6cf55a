"""Writes that take more than one request: create or apply, and read-modify-write with retries after conflicts."""

from __future__ import annotations

from aimctl.runtime.writing.apply import APPLIED_PREFIX, Applied, create_or_apply
from aimctl.runtime.writing.modify import read_modify_write, retry_on_conflict

__all__ = [
    "APPLIED_PREFIX",
    "Applied",
    "create_or_apply",
    "read_modify_write",
    "retry_on_conflict",
]
