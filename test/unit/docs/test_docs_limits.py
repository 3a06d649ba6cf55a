"""``docs/limits.md`` is true: what it says is missing is missing, and its numbers are those of the code."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from yarl import URL

import aimctl.runtime
from aimctl.devcluster import DevCluster
from aimctl.runtime import (
    NODES,
    Cache,
    Client,
    ConfigurationError,
    EventRecorder,
    Manager,
    SchemaError,
    UndeclaredKind,
    structural_schema,
)
from aimctl.runtime.kube.credentials.proxy import environment_proxy
from aimctl.runtime.kube.splitter import MAX_LINE_BYTES
from aimctl.testing import virtual_clock

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class One(msgspec.Struct, frozen=True, tag=True):
    a: int = 0


class Two(msgspec.Struct, frozen=True, tag=True):
    b: int = 0


class Either(msgspec.Struct, frozen=True):
    spec: One | Two


class Tree(msgspec.Struct, frozen=True):
    children: Annotated[tuple[Tree, ...], msgspec.Meta(max_length=3)] = ()


def test_every_row_has_a_reason_and_an_alternative():
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| .*\|$", TEXT, re.MULTILINE)]
    assert len(rows) > 20
    assert [row for row in rows if len(row) != 3 or not all(row)] == []


@pytest.mark.parametrize("word", ["webhook", "exec", "attach", "forward", "collection", "socks"])
def test_no_public_name_has_a_feature_that_is_listed_as_missing(word):
    names = {*aimctl.runtime.__all__, *dir(Client), *dir(Manager)}
    assert [name for name in names if re.search(rf"(^|_){word}", name.lower())] == []


@pytest.mark.parametrize("kind", [Either, Tree])
def test_unions_and_recursive_types_have_no_schema(kind):
    with pytest.raises(SchemaError):
        structural_schema(kind)


def test_a_socks_proxy_is_rejected():
    with pytest.raises(ConfigurationError, match="socks5"):
        environment_proxy(URL("https://server:6443"), {"HTTPS_PROXY": "socks5://proxy:1080"})


def test_the_numbers_are_those_of_the_code():
    assert f"more than {MAX_LINE_BYTES // 2**20} MiB" in TEXT
    capacity = inspect.signature(EventRecorder).parameters["capacity"].default
    assert f"If {capacity:,} wait" in TEXT
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')} or newer" in TEXT


def test_a_wider_informer_does_not_serve_a_narrower_declaration():
    manager = Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock())
    wide = manager.cache.declare(NODES)
    narrow = manager.scope("other").cache.declare(NODES, label_selector="a=b")
    assert wide is not narrow
    assert manager.scope("third").cache.declare(NODES) is wide


def test_a_declaration_has_no_function_that_changes_objects():
    options = set(inspect.signature(Cache.declare).parameters) - {"self", "resource"}
    assert options == {"namespaces", "label_selector", "field_selector", "projection", "indexes", "optional"}


def test_an_undeclared_kind_cannot_be_read():
    manager = Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock())
    with pytest.raises(UndeclaredKind):
        manager.cache.list(NODES)
