"""Health checks as kubelets ask for them: ``/healthz`` and ``/readyz``, whole or check by check.

Contract (that of the Kubernetes components):
    * 200 when all checks pass, 500 when one fails; a failure always lists every check, ``?verbose`` always
      does.
    * ``/readyz/<name>`` asks one check; an unknown name is 404. ``?exclude=<name>`` leaves one out, any
      number of times; an unknown one is harmless and said so.
    * With no checks there is one named ``ping`` that passes.

A check is a quick synchronous function: None means well, a text says what is wrong; raising counts as wrong
too. It cannot wait, so a probe cannot hang on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["Check", "HealthChecks"]

Check: TypeAlias = "Callable[[], str | None]"
"""None when well, else what is wrong."""


@final
class HealthChecks:
    """The checks behind one path.

    Args:
        path: ``healthz``, without slashes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Add a check.

        Raises:
            ValueError: the name is taken, empty, or would not fit into a URL path.
        """
        if not name or "/" in name:
            raise ValueError(f"check {name!r}: the name is part of the URL, it needs text without a slash")
        if name in self._checks:
            raise ValueError(f"check {name!r} exists already at /{self.path}: choose another name")
        self._checks[name] = check

    def routes(self) -> dict[str, Callable[[web.Request], Awaitable[web.Response]]]:
        """For :class:`HttpServer`."""
        return {f"/{self.path}": self._all, f"/{self.path}/": self._all, f"/{self.path}/{{name}}": self._one}

    def failing(self, exclude: Iterable[str] = ()) -> dict[str, str]:
        """The failing checks and why."""
        skipped = set(exclude)
        results = {name: self._ask(check) for name, check in self._now().items() if name not in skipped}
        return {name: why for name, why in results.items() if why is not None}

    def _now(self) -> dict[str, Check]:
        return self._checks or {"ping": lambda: None}

    @staticmethod
    def _ask(check: Check) -> str | None:
        try:
            return check()
        except Exception as error:  # noqa: BLE001 - foreign code: a check that breaks is a check that fails
            return f"{type(error).__name__}: {error}"

    async def _all(self, request: web.Request) -> web.Response:
        exclude = request.query.getall("exclude", [])
        failing = self.failing(exclude)
        if not failing and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = []
        for name in self._now():
            if name in exclude:
                lines.append(f"[+]{name} excluded: ok")
            elif name in failing:
                lines.append(f"[-]{name} failed: {failing[name]}")
            else:
                lines.append(f"[+]{name} ok")
        unknown = sorted(set(exclude) - set(self._now()))
        if unknown:
            lines.append(f"warn: some health checks cannot be excluded: no matches for {', '.join(unknown)}")
        lines.append(f"{self.path} check {'failed' if failing else 'passed'}")
        return web.Response(status=500 if failing else 200, text="\n".join(lines) + "\n")

    async def _one(self, request: web.Request) -> web.Response:
        check = self._now().get(request.match_info["name"])
        if check is None:
            return web.Response(status=404, text="no such check\n")
        why = self._ask(check)
        return web.Response(text="ok") if why is None else web.Response(status=500, text=f"{why}\n")
