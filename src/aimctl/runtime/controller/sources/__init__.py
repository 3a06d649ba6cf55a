"""Sources of requests: an informer (:class:`Watch`), or any other component (:class:`Channel`).

:class:`Synced` adds no requests: with it a controller also waits for kinds that its reconciler only reads.
"""

from __future__ import annotations

from aimctl.runtime.controller.sources.channel import Channel
from aimctl.runtime.controller.sources.synced import Synced
from aimctl.runtime.controller.sources.watch import Source, Watch, dispatch

__all__ = ["Channel", "Source", "Synced", "Watch", "dispatch"]
