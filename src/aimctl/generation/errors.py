"""The error of a declaration from which no manifest can be generated."""

from __future__ import annotations

__all__ = ["SchemaError"]


class SchemaError(ValueError):
    """A type or a declaration that a CustomResourceDefinition cannot express.

    The message is one line with the path of the field, what is wrong with it, and the remedy. In paths, ``[]`` is an
    item of a list and ``{}`` a value of a mapping.
    """
