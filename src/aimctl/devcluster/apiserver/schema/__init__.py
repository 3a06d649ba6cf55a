"""Structural schemas: what a CustomResourceDefinition says about its objects, and the built-in kinds
likewise.
"""

from aimctl.devcluster.apiserver.schema.errors import FieldError as FieldError
from aimctl.devcluster.apiserver.schema.errors import FieldErrorType as FieldErrorType
from aimctl.devcluster.apiserver.schema.errors import go_quote as go_quote
from aimctl.devcluster.apiserver.schema.errors import invalid_status as invalid_status
from aimctl.devcluster.apiserver.schema.expressions import CompileError as CompileError
from aimctl.devcluster.apiserver.schema.expressions import EvaluationError as EvaluationError
from aimctl.devcluster.apiserver.schema.expressions import Expression as Expression
from aimctl.devcluster.apiserver.schema.expressions import ExpressionCompiler as ExpressionCompiler
from aimctl.devcluster.apiserver.schema.node import OPEN as OPEN
from aimctl.devcluster.apiserver.schema.node import RAW as RAW
from aimctl.devcluster.apiserver.schema.node import UNSET as UNSET
from aimctl.devcluster.apiserver.schema.node import Node as Node
from aimctl.devcluster.apiserver.schema.node import parse_node as parse_node
from aimctl.devcluster.apiserver.schema.schema import InvalidSchema as InvalidSchema
from aimctl.devcluster.apiserver.schema.schema import MergeStrategy as MergeStrategy
from aimctl.devcluster.apiserver.schema.schema import Schema as Schema

__all__ = [
    "OPEN",
    "RAW",
    "UNSET",
    "CompileError",
    "EvaluationError",
    "Expression",
    "ExpressionCompiler",
    "FieldError",
    "FieldErrorType",
    "InvalidSchema",
    "MergeStrategy",
    "Node",
    "Schema",
    "go_quote",
    "invalid_status",
    "parse_node",
]
