"""``aimctl queue``: the templates that hold a discovery slot, and those that wait for one."""

from __future__ import annotations

from aimctl.cli.flags import Asked, OperatorNamespace, ShownLimit, Watch, asking

__all__ = ["queue"]


@asking
def queue(
    asked: Asked,
    *,
    watch: Watch = False,
    discovery_limit: ShownLimit = None,
    operator_namespace: OperatorNamespace = "kaiwo-system",
) -> int:
    """Show the templates that hold a discovery slot, and those that wait for one.

    Templates that wait are listed in the order in which slots are assigned. Templates that are paused after a failed
    attempt, and those whose Job cannot be created, follow with the cause. Exit code: 0, 4 if the namespace does not
    exist, 5 if a permission is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.pages.answering import answer
    from aimctl.cli.pages.queue import queue_page

    return answer(
        asked,
        lambda link: queue_page(link, asked.namespace, discovery_limit, operator_namespace),
        watch=watch,
    )
