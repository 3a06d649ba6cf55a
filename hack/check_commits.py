"""Check commit messages: `check_commits.py BASE` for all commits since a revision, `--message FILE` for one message.

Contract: exit status 0 if every message follows the rules, 1 with one line for each violation, 2 for a wrong call.

Rules:
    * The subject is an imperative sentence without a full stop, starts with a capital letter and has at most 72
      characters (aim for 70).
    * A blank line follows, then a body that says why the change is made.
    * Merge commits, and commits that `git commit --fixup` and `git revert` create, are not checked.

Whether a sentence is imperative cannot be decided by a program. The check rejects the common forms that are not: a
first word such as "Added", "Adds" or "Adding".
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LONGEST_SUBJECT", "main", "problems"]

LONGEST_SUBJECT = 72

_GENERATED = ("Merge ", "Revert ", "fixup! ", "squash! ", "amend! ")
_NOT_IMPERATIVE = re.compile(r"[A-Z][a-z]+(?:ed|ing|[^aious]s)")
_IMPERATIVE = frozenset(
    {"Bring", "Embed", "Exceed", "Feed", "Ping", "Proceed", "Seed", "Speed", "Spring", "String"}
)
"""Verbs that look like another form: their base form ends in -ed or -ing."""

_TRAILER = re.compile(r"[A-Z][A-Za-z-]+: \S")
_SCISSORS = re.compile(r"^# -+ >8 -+$.*", re.MULTILINE | re.DOTALL)
"""What `git commit --verbose` appends for the author to read: this line and everything after it."""


def problems(message: str) -> list[str]:
    """Return every rule that the message violates, as clauses; an empty list for a correct message."""
    lines = [line.rstrip() for line in _SCISSORS.sub("", message).splitlines() if not line.startswith("#")]
    while lines and not lines[0]:
        del lines[0]
    if not lines:
        return ["the message is empty: describe the change"]
    subject, rest = lines[0], lines[1:]
    if subject.startswith(_GENERATED):
        return []
    return [*_subject_problems(subject), *_body_problems(rest)]


def _subject_problems(subject: str) -> Iterator[str]:
    first = subject.split(maxsplit=1)[0]
    if len(subject) > LONGEST_SUBJECT:
        yield f"the subject has {len(subject)} characters: use at most {LONGEST_SUBJECT}, and move details to the body"
    if not subject[0].isupper():
        yield "the subject does not start with a capital letter"
    if subject.endswith("."):
        yield "the subject ends with a full stop: remove it"
    if _NOT_IMPERATIVE.fullmatch(first) and first not in _IMPERATIVE:
        yield f"the subject starts with {first!r}: use the imperative, as in 'Add' or 'Fix'"


def _body_problems(rest: Sequence[str]) -> Iterator[str]:
    if rest and rest[0]:
        yield "there is no blank line after the subject"
    elif not any(line and not _TRAILER.match(line) for line in rest):
        yield "there is no body: say why the change is made"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def _commits(base: str) -> Iterator[tuple[str, str]]:
    """Short hash and message of each commit since the base, oldest first, without merges."""
    log = _git("log", "--reverse", "--no-merges", "-z", "--format=%h%n%B", f"{base}..HEAD")
    for entry in filter(None, log.split("\0")):
        short, _, message = entry.partition("\n")
        yield short, message


def main(argv: Sequence[str]) -> int:
    """Run the command; see the module's contract."""
    parser = argparse.ArgumentParser(prog="check_commits.py", description="Check commit messages.")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("base", nargs="?", help="check every commit since this revision")
    group.add_argument(
        "--message", type=Path, help="check the message in this file, as a commit-msg hook does"
    )
    options = parser.parse_args(argv)
    if options.message is not None:
        checked = [("", options.message.read_text(encoding="utf-8"))]
    else:
        try:
            checked = list(_commits(options.base))
        except subprocess.CalledProcessError as error:
            print(
                f"check_commits.py: git cannot list {options.base}..HEAD: {error.stderr.strip()}",
                file=sys.stderr,
            )
            return 2
    bad = 0
    for short, message in checked:
        for problem in problems(message):
            subject = message.strip().partition("\n")[0]
            print(f"{f'{short} {subject}'.strip()}: {problem}", file=sys.stderr)
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
