"""The output of ``aimctl runbook``: one section of the runbook, which is the file ``runbook.md`` beside this module.

Contract: a section is printed as it is, in Markdown. If its commands need the functions of the section "Preparation",
that section follows. ``docs/runbook.md`` is generated from the same file.
"""

from __future__ import annotations

import re
from importlib.resources import files

from aimctl.api.alerts import ALERTS
from aimctl.cli.errors import CommandError
from aimctl.cli.kinds import did_you_mean

__all__ = ["runbook_page", "runbook_text"]

_PREPARATION = "Preparation"
_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
_FUNCTION = re.compile(r"^(?:logs|debug)\b", re.MULTILINE)


def runbook_text() -> str:
    """The whole runbook."""
    return (files("aimctl.cli.pages") / "runbook.md").read_text(encoding="utf-8")


def runbook_page(alert: str | None) -> str:
    """The section of an alert; the list of all alerts for None.

    Raises:
        CommandError: there is no such alert.
    """
    if alert is None:
        width = max(len(item.name) for item in ALERTS)
        summaries = (_LABEL.sub(lambda label: label[1].upper(), item.summary) for item in ALERTS)
        return "\n".join(
            f"{item.name:{width}}  {item.severity:8}  {summary}"
            for item, summary in zip(ALERTS, summaries, strict=True)
        )
    names = {item.name.lower(): item.name for item in ALERTS}
    name = names.get(alert.lower())
    if name is None:
        hint = did_you_mean(alert, names.values())
        raise CommandError(
            f"there is no alert {alert!r}: {hint or 'aimctl runbook lists the alerts'}", exit_code=2
        )
    section = _section(name)
    if _FUNCTION.search(section):
        section = f"{section}\n\n{_section(_PREPARATION)}"
    return section


def _section(heading: str) -> str:
    return next(
        f"## {part}".rstrip() for part in runbook_text().split("\n## ") if part.partition("\n")[0] == heading
    )
