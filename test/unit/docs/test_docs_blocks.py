"""Every code block of the documents is valid in its language."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from support.documents import load_all_yaml

ROOT = Path(__file__).parents[3]
DOCS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
FOREIGN = {"", "diff", "go", "text", "http", "promql"}
"""Output, differences, and languages for which no parser is installed."""
DIAGRAMS = ("flowchart", "sequenceDiagram", "stateDiagram-v2", "graph")


def blocks(path):
    for indent, language, body in BLOCK.findall(path.read_text(encoding="utf-8")):
        yield language, "\n".join(line.removeprefix(indent) for line in body.splitlines()) + "\n"


def check(language, body):
    """Raise an error if the block is not valid."""
    if language in {"python", "py"}:
        ast.parse(body)
    elif language == "yaml":
        assert all(load_all_yaml(body))
    elif language == "toml":
        assert tomllib.loads(body)
    elif language == "sh":
        done = subprocess.run(["bash", "-n"], input=body, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    elif language == "console":
        commands = re.findall(r"^\$ (.*)$", body, re.MULTILINE)
        assert commands
        check("sh", "\n".join(commands))
    elif language == "mermaid":
        assert body.split()[0] in DIAGRAMS
    else:
        assert language in FOREIGN, f"add a check for blocks in the language {language!r}"


def completed(signature):
    """A signature of the reference as valid Python: a constructor is shown as the class with its parameters."""
    if not re.match(r"(@\w+\n)*(async def|def|class) ", signature):
        return signature
    return re.sub(r"^class (?=\w+\()", "def ", signature.rstrip()) + ": ...\n"


RUN_BY = {
    "docs/README.md": "test_docs_snippets.py",
    "docs/coming-from.md": "test_coming_from.py",
    "docs/embedded-cluster.md": "test_docs_snippets.py",
    "docs/tutorial.md": "test/e2e/test_tutorial.py",
    "docs/concepts": "test_docs_snippets.py",
}
"""Which test runs the Python of a page or folder. That of the reference consists of signatures, and is only compiled."""


def test_the_python_of_every_page_is_run():
    pages = {
        path.relative_to(ROOT).as_posix()
        for path in DOCS
        if path.parent.name != "reference"
        and any(language in {"python", "py"} for language, _ in blocks(path))
    }
    folders = {page if page in RUN_BY else page.rsplit("/", 1)[0] for page in pages}
    assert folders == set(RUN_BY)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_code_block_is_valid(path):
    for language, body in blocks(path):
        check(language, completed(body) if path.parent.name == "reference" else body)


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("python", "def f(:\n"),
        ("yaml", "a: [\n"),
        ("toml", "a =\n"),
        ("sh", "if\n"),
        ("console", "output without a command\n"),
        ("mermaid", "drawing\n"),
        ("cobol", "MOVE A TO B.\n"),
    ],
)
def test_an_invalid_block_is_found(language, body):
    with pytest.raises((AssertionError, SyntaxError, ValueError, yaml.YAMLError)):
        check(language, body)
