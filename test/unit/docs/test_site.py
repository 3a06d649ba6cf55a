"""The documentation site: its navigation, what prepares the pages for it, and the check of its links."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from support.documents import load_yaml

ROOT = Path(__file__).parents[3]
SETTINGS = load_yaml((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def hack_module(name):
    """A module in hack/, which is not a package."""
    sys.path.insert(0, str(ROOT / "hack"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "hack"))


HOOKS, CHECK = hack_module("site_hooks"), hack_module("check_site")


def listed(entries):
    """The pages of a navigation."""
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else (entry,):
            if isinstance(value, str):
                yield value
            else:
                yield from listed(value)


def test_the_navigation_has_every_page_once():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed(SETTINGS["nav"])) == sorted(pages | set(HOOKS.ROOT_PAGES))


def test_the_home_page_links_to_every_page_of_the_operator():
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for folder in ("aim", "howto", "concepts"):
        names = {path.stem for path in (ROOT / "docs" / folder).glob("*.md")}
        assert set(re.findall(rf"\({folder}/([\w-]+)\.md\)", text)) == names


def test_the_site_loads_nothing_from_other_servers_and_warnings_are_errors():
    assert SETTINGS["theme"]["font"] is False
    assert {value for part in SETTINGS["validation"].values() for value in part.values()} == {"warn"}
    assert "mkdocs build --strict" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_readme_fits_on_one_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 50


# ---- preparing the pages


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("a\n* b\n  c\n", "a\n\n* b\n    c\n"),
        ("* a\n  * b\n    c\n* d\n", "* a\n    * b\n        c\n* d\n"),
        (
            "1. a\n\n   ```sh\n   x\n     y\n   ```\n\n2. b\n",
            "1. a\n\n    ```sh\n    x\n      y\n    ```\n\n2. b\n",
        ),
        ("* a\n\nb\n", "* a\n\nb\n"),
        ("    code - a\n    - b\n", "    code - a\n    - b\n"),
        ("```yaml\n- a\n  - b\n```\n", "```yaml\n- a\n  - b\n```\n"),
        ("| `a \\| b` | c \\| d |\n", "| `a | b` | c \\| d |\n"),
    ],
    ids=[
        "after a paragraph",
        "nested",
        "code in an item",
        "end of a list",
        "indented code",
        "fenced code",
        "bar in the code of a table",
    ],
)
def test_lists_and_tables_are_written_for_python_markdown(text, prepared):
    assert HOOKS.nested(text) == prepared


@pytest.mark.parametrize(
    ("link", "folder", "relinked"),
    [
        ("cli.md#explain", "docs", "cli.md#explain"),
        ("../cli.md", "docs/aim", "../cli.md"),
        ("../README.md", "docs/aim", "../README.md"),
        ("../CONTRIBUTING.md#english", "docs", "CONTRIBUTING.md#english"),
        ("../Dockerfile", "docs", "source/Dockerfile.txt"),
        ("../../config/x.yaml", "docs/aim", "../source/config/x.yaml.txt"),
        ("docs/cli.md", "", "cli.md"),
        ("#here", "docs", "#here"),
        ("https://example.org/x", "docs", "https://example.org/x"),
    ],
)
def test_links_are_those_of_the_site(link, folder, relinked):
    known = {"cli.md", "README.md", "aim/overview.md"}
    assert HOOKS.relinked(f"[text]({link})", folder, known) == f"[text]({relinked})"


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("`Client.get` method", "clientget-method"),
        ("At most ten at a time", "at-most-ten-at-a-time"),
        ("A, b & c", "a-b--c"),
    ],
)
def test_an_anchor_is_that_of_github(heading, anchor):
    assert HOOKS.anchor(heading) == anchor


# ---- checking the site


def site(folder, **pages):
    """A site with these pages, each with the home page's navigation left out."""
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    return CHECK.findings(folder)


def test_a_correct_site_has_no_findings(tmp_path):
    (tmp_path / "logo.svg").write_text("<svg/>")
    assert not site(
        tmp_path,
        index='<a href="a.html#x">a</a><a href="https://example.org">b</a><img src="logo.svg">',
        a='<h1 id="x">x</h1><a href=".">home</a><a href="#x">here</a><a href="mailto:a@example.org">c</a>',
    )


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ('<a href="b.html">', "index.html: b.html leads to no file"),
        ('<a href="index.html#y">', "index.html: index.html#y leads to no anchor"),
        ('<img src="x.png">', "index.html: x.png leads to no file"),
        ('<script src="https://cdn.example/x.js"></script>', "index.html: https://cdn.example/x.js is loaded from another server"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "index.html: //fonts.example/x.css is loaded from another server"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(tmp_path, body, finding):
    assert site(tmp_path, index=body) == [finding]


def test_a_page_that_nothing_links_to_is_found(tmp_path):
    assert site(tmp_path, index="", alone="") == ["alone.html: no page links to it"]


def test_a_style_sheet_that_loads_a_font_is_found(tmp_path):
    (tmp_path / "x.css").write_text("@font-face { src: url('https://fonts.example/x.woff') }")
    assert site(tmp_path, index="") == ["x.css: https://fonts.example/x.woff is loaded from another server"]


def test_the_check_fails_with_the_findings(tmp_path, capsys):
    assert CHECK.main([str(tmp_path)]) == 2
    site(tmp_path, index='<a href="b.html">')
    assert CHECK.main([str(tmp_path)]) == 1
    assert "b.html leads to no file" in capsys.readouterr().err
    site(tmp_path, index="")
    assert CHECK.main([str(tmp_path)]) == 0
