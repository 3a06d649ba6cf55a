"""The Kubernetes client.

:func:`load_connection` finds the cluster, :class:`HttpTransport` sends requests to it, and :class:`Client` offers the
REST verbs. A :class:`Resource` describes a kind; the client returns each object as an :class:`Object`.
"""

from __future__ import annotations

from aimctl.kubetypes import Object as Object
from aimctl.kubetypes import ObjectKey as ObjectKey
from aimctl.kubetypes import ObjectMeta as ObjectMeta
from aimctl.kubetypes import OwnerReference as OwnerReference
from aimctl.kubetypes import Resource as Resource
from aimctl.kubetypes import freeze as freeze
from aimctl.kubetypes import is_newer as is_newer
from aimctl.runtime.kube.answers import ObjectList as ObjectList
from aimctl.runtime.kube.client import Client as Client
from aimctl.runtime.kube.client import ClientOptions as ClientOptions
from aimctl.runtime.kube.connection import CertificateSource as CertificateSource
from aimctl.runtime.kube.connection import ConnectionInfo as ConnectionInfo
from aimctl.runtime.kube.connection import CredentialProvider as CredentialProvider
from aimctl.runtime.kube.connection import StaticCredentials as StaticCredentials
from aimctl.runtime.kube.connection import TokenFile as TokenFile
from aimctl.runtime.kube.connection import in_cluster as in_cluster
from aimctl.runtime.kube.connection import load_connection as load_connection
from aimctl.runtime.kube.errors import AlreadyExists as AlreadyExists
from aimctl.runtime.kube.errors import ApiError as ApiError
from aimctl.runtime.kube.errors import BadRequest as BadRequest
from aimctl.runtime.kube.errors import ConfigurationError as ConfigurationError
from aimctl.runtime.kube.errors import Conflict as Conflict
from aimctl.runtime.kube.errors import ConnectionFailed as ConnectionFailed
from aimctl.runtime.kube.errors import DecodeError as DecodeError
from aimctl.runtime.kube.errors import Forbidden as Forbidden
from aimctl.runtime.kube.errors import Gone as Gone
from aimctl.runtime.kube.errors import Invalid as Invalid
from aimctl.runtime.kube.errors import KubeError as KubeError
from aimctl.runtime.kube.errors import MethodNotAllowed as MethodNotAllowed
from aimctl.runtime.kube.errors import NotFound as NotFound
from aimctl.runtime.kube.errors import ServerError as ServerError
from aimctl.runtime.kube.errors import TooLarge as TooLarge
from aimctl.runtime.kube.errors import TooManyRequests as TooManyRequests
from aimctl.runtime.kube.errors import Unauthorized as Unauthorized
from aimctl.runtime.kube.errors import UnsupportedMedia as UnsupportedMedia
from aimctl.runtime.kube.errors import WatchLineTooLong as WatchLineTooLong
from aimctl.runtime.kube.errors import WriteRefused as WriteRefused
from aimctl.runtime.kube.http import HttpTransport as HttpTransport
from aimctl.runtime.kube.http import RequestObserver as RequestObserver
from aimctl.runtime.kube.kubeconfig import from_kubeconfig as from_kubeconfig
from aimctl.runtime.kube.reader import Reader as Reader
from aimctl.runtime.kube.transport import HttpRequest as HttpRequest
from aimctl.runtime.kube.transport import HttpResponse as HttpResponse
from aimctl.runtime.kube.transport import Transport as Transport
from aimctl.runtime.kube.watch import WatchEvent as WatchEvent
from aimctl.runtime.kube.watch import WatchStalled as WatchStalled

__all__ = [
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
    "freeze",
    "from_kubeconfig",
    "in_cluster",
    "is_newer",
    "load_connection",
]
