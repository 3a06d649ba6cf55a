"""Run a tutorial as it is printed: write its files, run its commands, and compare their output.

Contract:
    * ``<!-- file: NAME -->`` before a code block: the block is the content of that file in the folder of the tutorial.
    * ``<!-- terminal: NAME -->`` before a ``console`` block: its commands, the lines that begin with ``$``, run in the
      shell of that name. The lines below a command are its output.
    * Output is compared line by line after replacing what varies: see ``VARIES``. A line ``...`` matches any number of
      lines. Spaces at the end of lines are ignored, and so is the width of columns.
    * A command must have the exit status 0. One that does not end, which can only be the last command of its shell, has
      succeeded when its output has appeared. It is interrupted at the end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

__all__ = ["Command", "File", "Shell", "matches", "recorded", "steps_of"]

VARIES = (
    (re.compile(r"\b(\d+d)?(\d+h)?(\d+m)?\d+(\.\d+)?m?s\b"), "<time>"),
    (re.compile(r"\b(127\.0\.0\.1):\d+"), r"\1:<port>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<timestamp>"),
    (re.compile(r"\bv1\.\d+\.\d+\b"), "<version>"),
    (re.compile(r"; discovery follows$"), ""),
    (re.compile(r" {2,}"), "  "),
)
"""What differs between runs: durations and ages, ports, uids, timestamps, versions of Kubernetes, the width of columns, and
whether the operator has already decided to try again."""


@dataclass(frozen=True)
class File:
    """A file to write."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command to run, and the output that the page prints."""

    shell: str
    text: str
    output: tuple[str, ...]


def steps_of(page):
    """The files and commands of a page, in order."""
    pattern = r"^<!-- (file|terminal): (\S+) -->\n```\w+\n(.*?)^```"
    for kind, name, body in re.findall(pattern, page, re.DOTALL | re.MULTILINE):
        if kind == "file":
            yield File(name, body)
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            text, *output = part.splitlines()
            yield Command(name, text, tuple(output))


def recorded(page, outputs):
    """A page with these outputs of its commands, in order; output that begins like the prompt is not possible."""
    remaining = iter(outputs)

    def block(match):
        lines = []
        for line in match[2].splitlines():
            if line.startswith("$ "):
                lines += [line, *next(remaining)]
                while lines and not lines[-1].strip():
                    lines.pop()
        return f"{match[1]}{chr(10).join(one.rstrip() for one in lines)}\n{match[3]}"

    return re.sub(
        r"^(<!-- terminal: \S+ -->\n```\w+\n)(.*?)(^```)", block, page, flags=re.DOTALL | re.MULTILINE
    )


def normalized(lines):
    """Lines without what varies, and without empty lines at the end."""
    done = []
    for line in lines:
        for pattern, replacement in VARIES:
            line = pattern.sub(replacement, line)  # noqa: PLW2901
        done.append(line.strip())
    while done and not done[-1]:
        done.pop()
    return done


def matches(printed, actual):
    """Whether output is what the page prints."""
    return _matches(normalized(printed), normalized(actual))


def _matches(printed, actual):
    if not printed:
        return not actual
    if printed[0] == "...":
        return any(_matches(printed[1:], actual[start:]) for start in range(len(actual) + 1))
    return bool(actual) and printed[0] == actual[0] and _matches(printed[1:], actual[1:])


@dataclass
class Shell:
    """A shell that runs commands one after the other; standard error is part of their output."""

    folder: str
    environment: dict
    _lines: list = field(default_factory=list)
    _partial: str = ""

    def __post_init__(self):
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self._process.stdout as output:
            for line in output:
                self._lines.append(line.rstrip("\n"))

    def run(self, command, *, endless, seconds=180):
        """Run a command; return whether the output is the printed one, the output, and the exit status.

        With ``endless`` the command need not end: it has succeeded when the printed output is there.
        """
        marker = f"end-of-command-{os.urandom(4).hex()}"
        start = len(self._lines)
        self._process.stdin.write(f"{{ {command.text}\n}} </dev/null\nprintf '\\n%s %s\\n' {marker} $?\n")
        self._process.stdin.flush()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self._lines[start:]
            ended = [number for number, line in enumerate(lines) if line.startswith(marker)]
            if ended:
                output, status = lines[: ended[0]], lines[ended[0]].split()[-1]
                return matches(command.output, output), output, status
            if endless and matches(command.output, lines) and (lines or not command.output):
                return True, lines, "running"
            time.sleep(0.05)
        return False, self._lines[start:], "no end"

    def interrupt(self, seconds=30):
        """Interrupt what is running, as Ctrl-C does, then end the shell; return its last output."""
        start = len(self._lines)
        self._process.stdin.close()
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(5)
        return self._lines[start:]
