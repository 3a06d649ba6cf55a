"""Structural schemas of custom and built-in kinds: pruning, defaulting, validation and CEL rules."""

from aimctl.devcluster.apiserver.schema.errors import FieldError as FieldError
from aimctl.devcluster.apiserver.schema.errors import invalid_status as invalid_status
from aimctl.devcluster.apiserver.schema.node import OPEN as OPEN
from aimctl.devcluster.apiserver.schema.node import RAW as RAW
from aimctl.devcluster.apiserver.schema.node import UNSET as UNSET
from aimctl.devcluster.apiserver.schema.node import Node as Node
from aimctl.devcluster.apiserver.schema.schema import InvalidSchema as InvalidSchema
from aimctl.devcluster.apiserver.schema.schema import Schema as Schema

__all__ = ["OPEN", "RAW", "UNSET", "FieldError", "InvalidSchema", "Node", "Schema", "invalid_status"]
