"""Objects as text of Helm templates.

Contract:
    * :func:`template` returns an object as YAML in which :class:`Inline` and :class:`Lines` are template code, and
      everything else is literal, also if it contains the delimiters of templates.
    * The same objects give the same text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, final

from aimctl.generation.documents import to_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Inline", "Lines", "guarded", "literal", "template", "with_value"]

_MARK = "TEMPLATE-CODE-{}-END"
"""In place of the code while the object is written; YAML does not quote it."""
_ANY = re.compile(_MARK.format(r"(\d+)"))
_WHOLE_LINE = re.compile(rf"^( *)(?:- |[\w./-]+: ){_ANY.pattern}\n", re.MULTILINE)
_DEEPER = re.compile(r"<\+(\d+)>")


@final
class Inline:
    """Template code in place of a scalar, such as ``{{ .Values.replicas }}``.

    Args:
        code: with the delimiters. It must produce a valid YAML scalar.
    """

    def __init__(self, code: str) -> None:
        self.code = code


@final
class Lines:
    """Template code in place of a whole entry of a mapping (with its key) or of a list.

    Args:
        code: lines, which get the indentation of the entry. ``<+2>`` stands for that indentation and two more spaces,
            as the argument of ``nindent``.
    """

    def __init__(self, code: str) -> None:
        self.code = code


def with_value(key: str, path: str) -> Lines:
    """Return the entry ``key`` with a value of the chart, which is left out if it is empty.

    Args:
        key: of the entry.
        path: of the value, such as ``nodeSelector``.
    """
    return Lines(
        f"{{{{- with .Values.{path} }}}}\n{key}:\n  {{{{- toYaml . | nindent <+2> }}}}\n{{{{- end }}}}"
    )


def literal(text: str) -> str:
    """Return text in which delimiters of templates are not interpreted."""
    return text.replace("{{", '{{ "{{" }}')


def guarded(condition: str, text: str) -> str:
    """Return a template that is rendered only if the condition, such as ``.Values.crds.install``, is true."""
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def template(document: Mapping[str, Any]) -> str:
    """Return an object as the text of a template."""
    codes: list[Inline | Lines] = []
    text = literal(to_yaml(_with_marks(document, codes)))

    def line(match: re.Match[str]) -> str:
        indent, code = match[1], codes[int(match[2])]
        if isinstance(code, Inline):
            return match[0]
        deeper = _DEEPER.sub(lambda more: str(len(indent) + int(more[1])), code.code)
        return "".join(f"{indent}{one}\n" for one in deeper.splitlines())

    return _ANY.sub(lambda match: codes[int(match[1])].code, _WHOLE_LINE.sub(line, text))


def _with_marks(node: Any, codes: list[Inline | Lines]) -> Any:
    if isinstance(node, Inline | Lines):
        codes.append(node)
        return _MARK.format(len(codes) - 1)
    if isinstance(node, dict):
        return {key: _with_marks(value, codes) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_with_marks(item, codes) for item in node]
    return node
