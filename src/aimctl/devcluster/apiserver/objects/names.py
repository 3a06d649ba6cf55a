"""Validation of names, label keys and label values.

Contract: each function returns the error messages, in order. Rules and messages are those of Kubernetes'
``apimachinery/pkg/util/validation``.
"""

from __future__ import annotations

import re

__all__ = [
    "LABEL_TEXT",
    "NAME_TEXT",
    "field_label_errors",
    "label1035_errors",
    "label_errors",
    "label_value_errors",
    "path_segment_errors",
    "qualified_name_errors",
    "search_domain_errors",
    "subdomain_errors",
]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"

_label = re.compile(_LABEL)
_subdomain = re.compile(_SUBDOMAIN)
_label1035 = re.compile(_LABEL1035)
_SEARCH_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SEARCH_DOMAIN = rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"
_search_domain = re.compile(_SEARCH_DOMAIN)
_qualified = re.compile(_QUALIFIED)
_value = re.compile(_VALUE)


def _text(sentence: str, pattern: str, *examples: str) -> str:
    shown = ",  or ".join(f"'{example}'" for example in examples)
    return f"{sentence} (e.g. {shown}, regex used for validation is '{pattern}')"


NAME_TEXT = _text(
    "must consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
LABEL_TEXT = _text(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character",
    _VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_LABEL_TEXT = _text(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
    " and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_TEXT = _text(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
    " and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_SEARCH_DOMAIN_TEXT = _text(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.',"
    " and must start and end with an alphanumeric character",
    _SEARCH_DOMAIN,
    "example.com",
)
_LABEL1035_TEXT = _text(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-',"
    " start with an alphabetic character, and end with an alphanumeric character",
    _LABEL1035,
    "my-name",
    "abc-123",
)


def _check(value: str, limit: int, pattern: re.Pattern[str], text: str, unit: str = "bytes") -> list[str]:
    errors = []
    if len(value) > limit:
        errors.append(f"must be no more than {limit} {unit}")
    if not pattern.fullmatch(value):
        errors.append(text)
    return errors


def label_errors(value: str) -> list[str]:
    """Errors of an RFC 1123 label of at most 63 characters, such as a namespace."""
    text = "must not contain dots" if _subdomain.fullmatch(value) else _LABEL_TEXT
    return _check(value, 63, _label, text)


def field_label_errors(value: str) -> list[str]:
    """Errors of an RFC 1123 label in a field, such as the name of a container. The limit is worded differently."""
    return [text.replace("bytes", "characters") for text in label_errors(value)]


def label1035_errors(value: str) -> list[str]:
    """Errors of an RFC 1035 label of at most 63 characters, such as a service."""
    return _check(value, 63, _label1035, _LABEL1035_TEXT)


def subdomain_errors(value: str) -> list[str]:
    """Errors of an RFC 1123 subdomain of at most 253 characters, which most names are."""
    return _check(value, 253, _subdomain, _SUBDOMAIN_TEXT, "characters")


def search_domain_errors(value: str) -> list[str]:
    """Errors of a domain that DNS names are searched in, whose labels may contain underscores."""
    return _check(value, 253, _search_domain, _SEARCH_DOMAIN_TEXT, "characters")


def label_value_errors(value: str) -> list[str]:
    """Errors of a label value of at most 63 characters."""
    return _check(value, 63, _value, LABEL_TEXT)


def path_segment_errors(value: str) -> list[str]:
    """Errors of a path segment of a URL, which names of RBAC kinds are."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{mark}'" for mark in ("/", "%") if mark in value]


def qualified_name_errors(value: str) -> list[str]:
    """Errors of a label key: an optional subdomain and slash, then a name of at most 63 characters."""
    parts = value.split("/")
    errors: list[str] = []
    if len(parts) > 2:
        example = "(e.g. 'example.com/MyName')"
        return [f"a valid label key {NAME_TEXT} with an optional DNS subdomain prefix and '/' {example}"]
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            errors += [f"prefix part {text}" for text in subdomain_errors(prefix)]
    name = parts[-1]
    if not name:
        errors.append("name part must be non-empty")
    elif len(name) > 63:
        errors.append("name part must be no more than 63 bytes")
    if not _qualified.fullmatch(name):
        errors.append(f"name part {NAME_TEXT}")
    return errors
