"""``aimctl explain``: why an object is not Ready."""

from __future__ import annotations

from aimctl.cli.flags import (
    Asked,
    ObjectKind,
    ObjectName,
    OperatorNamespace,
    ShownLimit,
    Watch,
    asking,
    parse_object,
)

__all__ = ["explain"]


@asking
def explain(
    asked: Asked,
    kind: ObjectKind,
    name: ObjectName = None,
    *,
    watch: Watch = False,
    discovery_limit: ShownLimit = None,
    operator_namespace: OperatorNamespace = "kaiwo-system",
) -> int:
    """Explain why an object is not Ready, and what to do about it.

    Follows the object's references to the root cause and shows each object on the path with its state, condition and
    reason, then the message of the root cause and commands to run. Exit code: 0 if the object is Ready, 3 if not, 4 if
    it does not exist, 5 if a permission is missing, 1 if the cluster gives no answer.
    """
    from aimctl.cli.pages.answering import answer
    from aimctl.cli.pages.explain import explain_page

    found, wanted = parse_object(kind, name, "explain")
    return answer(
        asked,
        lambda link: explain_page(
            link,
            found,
            wanted,
            asked.namespace or link.info.namespace,
            discovery_limit=discovery_limit,
            operator_namespace=operator_namespace,
        ),
        watch=watch,
    )
