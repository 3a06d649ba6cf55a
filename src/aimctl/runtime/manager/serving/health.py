"""Health checks for the probes of the kubelet: ``/healthz`` and ``/readyz``.

Contract (that of the Kubernetes components):
    * 200 if all checks pass, 500 if one fails. A failure lists all checks, and so does ``?verbose``.
    * ``/readyz/<name>`` runs one check; an unknown name is 404. ``?exclude=<name>``, which can be repeated, skips a
      check; an unknown name is reported in the response.
    * Without checks there is one named ``ping`` that passes.

A check is a fast synchronous function. It returns None if it passes, else the reason; raising also counts as a failure.
It cannot wait, so a probe does not hang.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, final

from aiohttp import web

from aimctl.runtime.callbacks import check_synchronous, raise_if_ending
from aimctl.runtime.manager.serving.http import check_new_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.runtime.manager.serving.http import Routes

__all__ = ["Check", "HealthChecks"]

Check: TypeAlias = "Callable[[], str | None]"
"""Returns None if the check passes, else the reason."""


@final
class HealthChecks:
    """The checks of one path.

    Args:
        path: such as ``healthz``, without slashes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._checks: dict[str, Check] = {}
        self._included: dict[str, HealthChecks] = {}

    def add(self, name: str, check: Check) -> None:
        """Add a check.

        Raises:
            TypeError: the check is not callable, or is async.
            ValueError: the name is taken, empty, or contains a slash.
        """
        check_synchronous(f"check {name!r}", check)
        check_new_name("check", name, self._checks)
        self._checks[name] = check

    def include(self, prefix: str, checks: HealthChecks) -> None:
        """Also run other checks, with the names ``<prefix>.<name>``, including those that are added later."""
        self._included[prefix] = checks

    def routes(self) -> Routes:
        """The routes, for :class:`HttpServer`."""
        return {
            f"/{self.path}": self._show_all,
            f"/{self.path}/": self._show_all,
            f"/{self.path}/{{name}}": self._show_one,
        }

    def failing(self, exclude: Iterable[str] = ()) -> dict[str, str]:
        """The failing checks and their reasons."""
        skipped = set(exclude)
        results = {name: self._run(check) for name, check in self._all().items() if name not in skipped}
        return {name: why for name, why in results.items() if why is not None}

    def _all(self) -> dict[str, Check]:
        included = {
            f"{prefix}.{name}": check
            for prefix, checks in self._included.items()
            for name, check in checks._checks.items()  # noqa: SLF001 - of this class
        }
        return {**self._checks, **included} or {"ping": lambda: None}

    @staticmethod
    def _run(check: Check) -> str | None:
        try:
            return check()
        except BaseException as error:  # noqa: BLE001 - user code: a check that raises is a check that fails
            raise_if_ending(error)
            return f"{type(error).__name__}: {error}"

    async def _show_all(self, request: web.Request) -> web.Response:
        exclude = request.query.getall("exclude", [])
        failing = self.failing(exclude)
        if not failing and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = []
        for name in self._all():
            if name in exclude:
                lines.append(f"[+]{name} excluded: ok")
            elif name in failing:
                lines.append(f"[-]{name} failed: {failing[name]}")
            else:
                lines.append(f"[+]{name} ok")
        unknown = sorted(set(exclude) - set(self._all()))
        if unknown:
            lines.append(f"warn: some health checks cannot be excluded: no matches for {', '.join(unknown)}")
        lines.append(f"{self.path} check {'failed' if failing else 'passed'}")
        return web.Response(status=500 if failing else 200, text="\n".join(lines) + "\n")

    async def _show_one(self, request: web.Request) -> web.Response:
        check = self._all().get(request.match_info["name"])
        if check is None:
            return web.Response(status=404, text="no such check\n")
        why = self._run(check)
        return web.Response(text="ok") if why is None else web.Response(status=500, text=f"{why}\n")
