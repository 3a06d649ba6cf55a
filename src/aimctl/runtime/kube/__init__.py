"""The Kubernetes client.

:func:`load_connection` finds the cluster, :class:`HttpTransport` sends requests to it, and :class:`Client` offers the
REST verbs. A :class:`Resource` describes a kind; the client returns each object as an :class:`Object`.
"""

from __future__ import annotations

from aimctl.kubetypes import Object, ObjectKey, ObjectMeta, OwnerReference, Resource, freeze, is_newer
from aimctl.runtime.kube.answers import ObjectList, parse_retry_after
from aimctl.runtime.kube.client import Client, ClientOptions
from aimctl.runtime.kube.credentials.addresses import Address
from aimctl.runtime.kube.credentials.connection import (
    CertificateSource,
    ConnectionInfo,
    CredentialProvider,
    StaticCredentials,
    TokenFile,
    in_cluster,
    load_connection,
)
from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig
from aimctl.runtime.kube.credentials.proxy import environment_proxy, proxy_login
from aimctl.runtime.kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    DecodeError,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    MethodNotAllowed,
    NotFound,
    NotServed,
    ServerError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnsupportedMedia,
    WatchLineTooLong,
    WriteRefused,
)
from aimctl.runtime.kube.http import AbruptResponse, HttpTransport, RequestObserver, hang_up
from aimctl.runtime.kube.reader import Reader
from aimctl.runtime.kube.transport import HttpRequest, HttpResponse, Transport
from aimctl.runtime.kube.watch import WatchEvent, WatchStalled

__all__ = [
    "AbruptResponse",
    "Address",
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "CertificateSource",
    "Client",
    "ClientOptions",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "ConnectionInfo",
    "CredentialProvider",
    "DecodeError",
    "Forbidden",
    "Gone",
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "Invalid",
    "KubeError",
    "MethodNotAllowed",
    "NotFound",
    "NotServed",
    "Object",
    "ObjectKey",
    "ObjectList",
    "ObjectMeta",
    "OwnerReference",
    "Reader",
    "RequestObserver",
    "Resource",
    "ServerError",
    "StaticCredentials",
    "TokenFile",
    "TooLarge",
    "TooManyRequests",
    "Transport",
    "Unauthorized",
    "UnsupportedMedia",
    "WatchEvent",
    "WatchLineTooLong",
    "WatchStalled",
    "WriteRefused",
    "environment_proxy",
    "freeze",
    "from_kubeconfig",
    "hang_up",
    "in_cluster",
    "is_newer",
    "load_connection",
    "parse_retry_after",
    "proxy_login",
]
