"""``docs/reference`` matches the docstrings and has every public name; its generator reads them correctly."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

import aimctl.runtime

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "reference"


def hack_module(name):
    """A module in hack/, which is not a package."""
    sys.path.insert(0, str(ROOT / "hack"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "hack"))


REFERENCE = hack_module("reference")
SOURCE = hack_module("reference_source")
LAYOUT = hack_module("reference_layout")


@pytest.fixture(scope="module")
def texts():
    return REFERENCE.pages()


def test_the_reference_is_up_to_date(texts):
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    different = sorted(name for name in {*texts, *there} if texts.get(name) != there.get(name))
    assert different == [], "run `make docs`"


@pytest.mark.parametrize("package", LAYOUT.PACKAGES)
def test_the_index_has_every_public_name_of(package, texts):
    index = re.findall(r"^\| \[`(\w+)`\]\([^)]+\) \| `([\w.]+)` \|", texts["README.md"], re.MULTILINE)
    listed = [name for name, where in index if where == package]
    assert sorted(listed) == sorted(importlib.import_module(package).__all__)


def test_every_public_name_of_the_list_has_an_entry(texts):
    everything = "\n".join(texts.values())
    headings = set(re.findall(r"^### `(\w+)`", everything, re.MULTILINE))
    rows = set(re.findall(r"^\| `(\w+)` \| .* \| `(\w+)` \|", everything, re.MULTILINE))
    assert set(aimctl.runtime.__all__) == (headings | {name for row in rows for name in row}) & set(
        aimctl.runtime.__all__
    )


def entries():
    names = REFERENCE.public_names()
    every = frozenset(name for _, name in names)
    for package, name in names:
        if not SOURCE.defining(package, name)[0].startswith(REFERENCE.TABLE):
            yield SOURCE.entry(package, name, every)


def test_no_docstring_is_meaningless():
    """A docstring that has fewer than three words, or refers to somewhere else, does not state a contract."""
    found = []
    for one in entries():
        for each in (one, *one.members):
            first = each.doc.split("\n")[0]
            if (
                re.search(r"(?i)^see the|see the module|todo|implements? the", first)
                or len(each.doc.split()) < 2
            ):
                found.append(f"{each.module}: {each.name}: {first}")
    assert found == []


def test_no_role_of_another_markup_remains(texts):
    prose = re.sub(r"^```.*?^```", "", "\n".join(texts.values()), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r":(?:class|meth|func|attr|mod|data):`.*|``.*", prose) == []


# ---- the generator


def test_a_docstring_becomes_markdown():
    doc = "Send it to :class:`Queue`.\n\nArgs:\n    item: what is sent,\n        in full.\n\nExample::\n\n    send(1)\n"
    assert REFERENCE.markdown(doc, {"Queue": "queue.md#queue"}) == (
        "Send it to [`Queue`](queue.md#queue).\n\n**Args**\n\n* `item`: what is sent,\n  in full.\n\n"
        "Example:\n\n```python\nsend(1)\n```"
    )


def test_a_role_without_a_public_target_is_code():
    assert REFERENCE.inline("``a`` of :meth:`~aimctl.runtime.kube.x.y`", {}) == "`a` of `y`"


def test_a_method_links_to_the_member_of_its_class_before_a_function_of_that_name():
    links = {"run": "program.md#run", ".run": "cache.md#cacherun-method"}
    assert REFERENCE.inline(":meth:`run`", links) == "[`run`](cache.md#cacherun-method)"
    assert REFERENCE.inline(":func:`run`", links) == "[`run`](program.md#run)"


@pytest.mark.parametrize(
    ("package", "name", "signature"),
    [
        ("aimctl.runtime", "ExponentialRateLimiter", "class ExponentialRateLimiter(base_seconds: float = 0.005, max_seconds: float = 1000.0)"),
        ("aimctl.runtime", "QueueItem", "class QueueItem(item: K, priority: int)"),
        ("aimctl.runtime", "PRIORITY_DEFAULT", "PRIORITY_DEFAULT = 0"),
        ("aimctl.runtime", "not_", "def not_(predicate: Predicate) -> Predicate"),
        ("aimctl.runtime", "Request", "Request = ObjectKey"),
        ("aimctl.runtime", "k8s", "from aimctl.runtime import k8s"),
    ],
)  # fmt: skip
def test_a_signature_is_that_of_the_source(package, name, signature):
    assert SOURCE.entry(package, name, frozenset()).signature == signature


def test_members_of_a_private_base_class_belong_to_the_class_and_those_of_a_public_one_do_not():
    public = frozenset(aimctl.runtime.__all__)
    names = [one.name for one in SOURCE.entry("aimctl.runtime", "Client", public).members]
    assert "Client.create" in names
    assert "Client.get" not in names
    assert "Client.get" in [one.name for one in SOURCE.entry("aimctl.runtime", "Client", frozenset()).members]


def test_a_name_that_does_not_exist_is_an_error():
    with pytest.raises(SOURCE.MissingNameError, match="Managr"):
        SOURCE.entry("aimctl.runtime", "Managr", frozenset())


def test_a_module_without_a_page_is_an_error():
    with pytest.raises(SOURCE.MissingNameError, match=r"reference_layout\.py"):
        REFERENCE.place("aimctl.elsewhere", "Thing")


def test_two_headings_with_one_anchor_are_reported():
    assert list(REFERENCE.ambiguous("x.md", "# `Object.key`\n## ObjectKey\n")) == [
        "two headings of x.md have the anchor #objectkey"
    ]


def test_check_reports_pages_that_are_out_of_date(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(REFERENCE, "FOLDER", tmp_path)
    assert REFERENCE.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert REFERENCE.main([]) == 0
    assert REFERENCE.main(["--check"]) == 0
