"""Checks of arguments and flag values, made before a command starts.

Contract: a check takes the given value (None: not given) and returns it, or raises ``typer.BadParameter`` with the
value and the rule. Typer adds the name of the flag and of its environment variable; an argument's name is passed in.
Imports are inside the functions, so that ``--help`` does not load the operator.
"""

from __future__ import annotations

import re

import typer

__all__ = [
    "bind_address",
    "comma_separated",
    "image",
    "namespace",
    "namespaces",
    "object_name",
    "registry_mirrors",
]


def namespace(value: str | None) -> str | None:
    """Check the name of a namespace."""
    from aimctl.controllers.options import is_namespace_name

    if value is not None and not is_namespace_name(value):
        raise typer.BadParameter(
            f"{value!r} is not a namespace name: use up to 63 lower-case letters, digits and '-'"
        )
    return value


def namespaces(values: list[str] | None) -> list[str] | None:
    """Check several namespaces; one value may hold several, separated by commas."""
    if values is None:
        return None
    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        namespace(name)
    return names


def comma_separated(values: list[str] | None) -> list[str] | None:
    """Split values; one may hold several, separated by commas."""
    return (
        None
        if values is None
        else [one.strip() for value in values for one in value.split(",") if one.strip()]
    )


def object_name(value: str, argument: str) -> str:
    """Check the name of an object. Any other text could address a different path of the API server."""
    from aimctl.api.v1alpha1.common import DNS1123_SUBDOMAIN

    if len(value) > 253 or re.fullmatch(DNS1123_SUBDOMAIN, value) is None:
        raise typer.BadParameter(
            f"{value!r} is not an object name (up to 253 lower-case letters, digits, '-' and '.'): give the name alone,"
            " and the namespace with -n",
            param_hint=argument,
        )
    return value


def registry_mirrors(values: list[str] | None) -> list[str] | None:
    """Check pairs ``host=url``; one value may hold several, separated by commas. The last pair of a registry counts."""
    from aimctl.controllers.options import mirror_problem

    if values is None:
        return None
    pairs = [pair.strip() for value in values for pair in value.split(",") if pair.strip()]
    for pair in pairs:
        host, equals, url = pair.partition("=")
        problem = mirror_problem(host, url) if equals else ""
        if problem or not equals:
            raise typer.BadParameter(
                problem
                or f"{pair.rpartition('@')[2]!r}: write HOST=URL, such as ghcr.io=https://mirror.example"
            )
    return pairs


def allowed_registries(values: list[str] | None) -> list[str] | None:
    """Check hosts of registries, in which ``*`` stands for a part of a label; one value may hold several."""
    from aimctl.domain.images.reference import is_host

    if values is None:
        return None
    hosts = [host.strip().lower() for value in values for host in value.split(",") if host.strip()]
    for host in hosts:
        if not is_host(host.replace("*", "x")):
            raise typer.BadParameter(
                f"{host!r} is not a registry: use a host name with an optional port, such as '*.example.org'"
            )
    return hosts


def image(value: str | None) -> str | None:
    """Check the name of a container image."""
    from aimctl.domain.images.reference import InvalidImage, parse_image

    try:
        if value is not None:
            parse_image(value)
    except InvalidImage as error:
        raise typer.BadParameter(f"{error}; without the flag the image of this version is used") from None
    return value


def bind_address(value: str) -> str:
    """Check an address to listen on, or "0"."""
    from aimctl.runtime.kube import ConfigurationError
    from aimctl.runtime.manager import parse_bind_address

    try:
        parse_bind_address("", value)
    except ConfigurationError:
        raise typer.BadParameter(
            f"{value!r} is not an address: write ':8080', '127.0.0.1:8080' or '[::1]:8080', or '0' for off"
        ) from None
    return value
