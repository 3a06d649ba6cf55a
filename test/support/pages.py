"""The pages of the documentation, their code blocks, and the shell commands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["blocks_of", "commands_of", "pages", "scripts_of"]

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_HEREDOC = re.compile(r"<<'?(\w+)'?\n.*?^\1$", re.DOTALL | re.MULTILINE)
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_ENDS_COMMAND = frozenset({"|", "||", "&&", ";", "&", "(", ")", "<(", "{", "}", "\n"})
_KEYWORDS = frozenset({"until", "while", "do", "done", "if", "then", "fi", "!"})


def pages() -> list[str]:
    """The paths of all pages, relative to the root of the repository."""
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks_of(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, language and text of each code block, without the indentation of the block."""
    text = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        indent, language, body = found.groups()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        yield text.count("\n", 0, found.start()) + 1, language, "\n".join(lines) + "\n"


def scripts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each shell script of a page: `sh` blocks, and the commands of `console` blocks."""
    for line, language, body in blocks_of(path):
        if language == "sh":
            yield line, body
        elif language in {"console", "text", ""}:
            commands = re.findall(r"^ *\$ (.*)$", body, re.MULTILINE)
            if commands:
                yield line, "\n".join(commands) + "\n"


def commands_of(script: str) -> Iterator[list[str]]:
    """The simple commands of a script as words, those in `$(...)` as well. Redirections are left out.

    Raises:
        ValueError: a quotation has no end.
    """
    script = _HEREDOC.sub("", script)
    for inner in _SUBSTITUTION.findall(script):
        yield from commands_of(inner)
    for line in _SUBSTITUTION.sub("SUBSTITUTED", script).replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        redirected = False
        for word in lexer:
            if word in _ENDS_COMMAND:
                yield from _complete(words)
                words, redirected = [], False
            elif set(word) <= {">", "<", "&"}:
                redirected = True
            elif not redirected:
                words.append(word)
            else:
                redirected = False
        yield from _complete(words)


def _complete(words: list[str]) -> Iterator[list[str]]:
    while words and (words[0] in _KEYWORDS or re.fullmatch(r"\w+=.*", words[0])):
        words = words[1:]
    if words:
        yield words
