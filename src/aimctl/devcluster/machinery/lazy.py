"""Controllers that start when the first object of their kind exists.

A cluster without such objects has neither their informers nor their requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aimctl.devcluster.machinery.controller import Controller

__all__ = ["LazyControllers"]


@final
class LazyControllers:
    """Starts each controller once. ``running`` has those that were started, in that order.

    Args:
        makers: by group and plural of a kind, what creates its controller.
        start: runs a controller.
    """

    def __init__(
        self,
        makers: Mapping[tuple[str, str], Callable[[], Controller]],
        *,
        start: Callable[[Controller], None],
    ) -> None:
        self._makers = dict(makers)
        self._start = start
        self.running: list[Controller] = []

    def found(self, kind: tuple[str, str]) -> None:
        """Start the controller of this kind, if there is one that does not run yet."""
        make = self._makers.pop(kind, None)
        if make is not None:
            controller = make()
            self.running.append(controller)
            self._start(controller)

    def close(self) -> None:
        """Start no further controllers: the cluster stops."""
        self._makers.clear()
