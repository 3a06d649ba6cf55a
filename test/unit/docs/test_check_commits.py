"""`hack/check_commits.py` accepts messages that follow CONTRIBUTING.md and names each violated rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "hack" / "check_commits.py"
BODY = "\n\nReaders of the changelog need it.\n"


def check(tmp_path, message):
    """Run the script as the commit-msg hook does."""
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(message, encoding="utf-8")
    return run("--message", str(file))


def run(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "message",
    [
        f"Add a changelog{BODY}",
        f"Pass the clock to the work queue{BODY}",
        f"Process deletions first{BODY}",
        f"Focus the tests on behaviour{BODY}",
        f"Embed the catalogue{BODY}",
        f"{'Add ' + 'x' * 68}{BODY}",
        f"# a comment of the editor\nAdd a changelog{BODY}# Changes to be committed:\n",
        f"Add a changelog{BODY}# ------------------------ >8 ------------------------\ndiff --git a/x b/x\n",
        "Merge branch 'main' into topic",
        'Revert "Add a changelog"',
        "fixup! Add a changelog",
    ],
)
def test_a_correct_or_generated_message_is_accepted(tmp_path, message):
    done = check(tmp_path, message)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("", "the message is empty"),
        ("\n# only a comment\n", "the message is empty"),
        (f"{'Add ' + 'x' * 69}{BODY}", "the subject has 73 characters: use at most 72"),
        (f"add a changelog{BODY}", "does not start with a capital letter"),
        (f"Add a changelog.{BODY}", "ends with a full stop"),
        (f"Added a changelog{BODY}", "starts with 'Added': use the imperative"),
        (f"Adds a changelog{BODY}", "starts with 'Adds': use the imperative"),
        (f"Adding a changelog{BODY}", "starts with 'Adding': use the imperative"),
        ("Add a changelog\nReaders need it.\n", "no blank line after the subject"),
        ("Add a changelog\n", "there is no body: say why"),
        ("Add a changelog\n\nSigned-off-by: A <a@example.org>\n", "there is no body: say why"),
    ],
)
def test_a_violated_rule_is_named(tmp_path, message, complaint):
    done = check(tmp_path, message)
    assert done.returncode == 1
    assert complaint in done.stderr


def git(folder, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_every_commit_since_the_base_is_checked(tmp_path):
    git(tmp_path, "init", "--quiet")
    for message in ("Wrong but older than the base.", "Add one\n\nWhy.", "Added two\n\nWhy.", "Add three"):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", message)
    git(tmp_path, "tag", "base", "HEAD~3")
    done = run("base", cwd=tmp_path)
    assert done.returncode == 1
    lines = [line.partition(" ")[2] for line in done.stderr.splitlines()]
    assert lines == [
        "Added two: the subject starts with 'Added': use the imperative, as in 'Add' or 'Fix'",
        "Add three: there is no body: say why the change is made",
    ]
    assert run("HEAD", cwd=tmp_path).returncode == 0


def test_an_unknown_base_is_reported(tmp_path):
    git(tmp_path, "init", "--quiet")
    done = run("no-such-revision", cwd=tmp_path)
    assert done.returncode == 2
    assert "git cannot list no-such-revision..HEAD" in done.stderr


def test_contributing_states_the_limit_that_is_checked():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "LONGEST_SUBJECT = 72" in SCRIPT.read_text(encoding="utf-8")
    assert "at most 72 characters" in text
