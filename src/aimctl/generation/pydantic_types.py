"""JSON schemas of pydantic models.

Contract: as :mod:`aimctl.generation.msgspec_types`, but with references into ``$defs``. Field names are the aliases of
validation. This module imports pydantic, so it is imported only for models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from aimctl.generation.docstrings import describe
from aimctl.generation.errors import SchemaError
from aimctl.generation.keywords import keywords_of

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaWarningKind
    from pydantic_core import core_schema

__all__ = ["pydantic_schema"]


def pydantic_schema(view: type) -> dict[str, Any]:
    """Return the JSON schema of a model or a pydantic dataclass.

    Raises:
        SchemaError: pydantic has no JSON schema for it.
    """
    try:
        if issubclass(view, BaseModel):
            return view.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
        return TypeAdapter(view).json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    except SchemaError as error:
        raise SchemaError(f"{view.__name__}: {error}") from error
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        text = str(error).partition("\n")[0]
        raise SchemaError(
            f"{view.__name__}: pydantic has no JSON schema for a field: {text}; use another type for it"
        ) from error


class _Generator(GenerateJsonSchema):
    """Adds the keywords and the docstrings of classes."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model."""
        cls = schema["cls"]
        out = super().model_schema(schema)
        description, texts = describe(cls)
        if texts:
            out["description"] = description
            for name, text in texts.items():
                field = cls.model_fields.get(name)
                alias = name if field is None else (field.validation_alias or field.alias or name)
                if isinstance(alias, str) and alias in out.get("properties", {}):
                    out["properties"][alias].setdefault("description", text)
        out.update(keywords_of(cls))
        return out

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        """Reject durations."""
        del schema
        raise SchemaError(
            "a timedelta: pydantic and Kubernetes write durations differently: use an int of seconds, or a str"
        )

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> NoReturn:
        """Reject what would be missing in the schema."""
        raise SchemaError(f"{detail} ({kind}); use a default that can be written as JSON, or another type")
