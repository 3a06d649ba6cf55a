"""Generation of manifests from declarations: CustomResourceDefinitions from types, RBAC roles from permissions.

This package has the declarations, which an operator needs at run time. The generators are in the modules ``schemas``,
``roles`` and ``documents``, which are imported when manifests are generated. :mod:`aimctl.runtime` exports all public
names. pydantic and PyYAML are imported on first use.
"""

from __future__ import annotations

from aimctl.generation.errors import SchemaError as SchemaError
from aimctl.generation.keywords import EMBEDDED_OBJECT as EMBEDDED_OBJECT
from aimctl.generation.keywords import INT_OR_STRING as INT_OR_STRING
from aimctl.generation.keywords import LIST_ATOMIC as LIST_ATOMIC
from aimctl.generation.keywords import LIST_SET as LIST_SET
from aimctl.generation.keywords import MAP_ATOMIC as MAP_ATOMIC
from aimctl.generation.keywords import PRESERVE_UNKNOWN_FIELDS as PRESERVE_UNKNOWN_FIELDS
from aimctl.generation.keywords import CelRule as CelRule
from aimctl.generation.keywords import cel_rules as cel_rules
from aimctl.generation.keywords import list_map as list_map
from aimctl.generation.keywords import schema_keywords as schema_keywords
from aimctl.generation.kind import AGE_COLUMN as AGE_COLUMN
from aimctl.generation.kind import CustomKind as CustomKind
from aimctl.generation.kind import KindVersion as KindVersion
from aimctl.generation.kind import PrinterColumn as PrinterColumn
from aimctl.generation.kind import Scale as Scale

__all__ = [
    "AGE_COLUMN",
    "EMBEDDED_OBJECT",
    "INT_OR_STRING",
    "LIST_ATOMIC",
    "LIST_SET",
    "MAP_ATOMIC",
    "PRESERVE_UNKNOWN_FIELDS",
    "CelRule",
    "CustomKind",
    "KindVersion",
    "PrinterColumn",
    "Scale",
    "SchemaError",
    "cel_rules",
    "list_map",
    "schema_keywords",
]
