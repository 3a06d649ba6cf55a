"""The API server without sockets: it takes a request and returns a response.

Contract:
    * :meth:`ApiServer.handle` answers every request. Errors become Statuses. Only what an interceptor raises to
      simulate a broken connection, and :class:`ConnectionRefused` once the server is closed, is raised.
    * A body is bytes or, for watches and followed logs, an async iterator that its reader has to close.
    * Every read and write happens between two awaits, so requests are handled strictly one after the other.

The order is that of the real server: the interceptor, authentication, authorization, lookup, then the verb.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.access import CONTROLLERS, AllowAll, Authenticator, refusal
from aimctl.devcluster.apiserver.builtin.crds import CRD_COLLECTION, CrdController
from aimctl.devcluster.apiserver.builtin.event_expiry import EventExpiry
from aimctl.devcluster.apiserver.builtin.namespaces import PERMANENT_NAMESPACES, NamespaceLifecycle
from aimctl.devcluster.apiserver.builtin.strategies import strategy_for
from aimctl.devcluster.apiserver.handlers import Handlers
from aimctl.devcluster.apiserver.interception import ConnectionRefused
from aimctl.devcluster.apiserver.objects.kinds import KindRegistry, ServedKind
from aimctl.devcluster.apiserver.openapi.endpoints import Documents, accepts_openapi
from aimctl.devcluster.apiserver.openapi.versions import KUBERNETES
from aimctl.devcluster.apiserver.reviews import Reviews
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.tokens import TokenIssuer
from aimctl.devcluster.apiserver.verbs.deletion import Deletion
from aimctl.devcluster.apiserver.verbs.options import decoded_as
from aimctl.devcluster.apiserver.verbs.patching import Patcher
from aimctl.devcluster.apiserver.verbs.requests import decode_body
from aimctl.devcluster.apiserver.verbs.subresources import Subresources
from aimctl.devcluster.apiserver.verbs.watching import BOOKMARK_SECONDS
from aimctl.devcluster.apiserver.verbs.write_types import WriteOptions
from aimctl.devcluster.apiserver.verbs.writes import Writer
from aimctl.devcluster.apiserver.webhooks.admission import Webhooks
from aimctl.devcluster.apiserver.webhooks.conversions import Conversions
from aimctl.devcluster.apiserver.webhooks.exchange import Exchanges, Pending
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.requests import Query, header, parse_request
from aimctl.devcluster.apiserver.wire.responses import ApiResponse, json_response, status_response
from aimctl.devcluster.storage.records import object_key
from aimctl.devcluster.storage.store import DEFAULT_HISTORY, Storage
from aimctl.kubetypes import Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.apiserver.access import Authorizer
    from aimctl.devcluster.apiserver.interception import Interceptor
    from aimctl.devcluster.apiserver.logs import LogSource
    from aimctl.devcluster.apiserver.schema import FieldError
    from aimctl.devcluster.apiserver.verbs.write_types import Admission
    from aimctl.devcluster.apiserver.wire.requests import RequestInfo
    from aimctl.devcluster.storage.store import Journal
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.transport import HttpRequest

__all__ = ["ApiResponse", "ApiServer", "ApiServerOptions"]

_log = logging.getLogger("aimctl.devcluster")


@final
@dataclass(frozen=True, slots=True)
class ApiServerOptions:
    """Limits and periods.

    Attributes:
        max_body_bytes: larger requests get 413. The default is that of the real server; at most 16 MiB.
        history: events kept per kind. Older watches and pages get 410.
        bookmark_seconds: period of bookmarks.
        kubernetes: the version that the server reports. Clients of servers before 1.34 begin informers with lists.
    """

    max_body_bytes: int = 3 * 1024 * 1024
    history: int = DEFAULT_HISTORY
    bookmark_seconds: float = BOOKMARK_SECONDS
    kubernetes: str = KUBERNETES


@final
class ApiServer:
    """An API server. Call :meth:`start` once before the first request, and :meth:`close` at the end.

    Args:
        clock: source of all times in objects.
        kinds: the built-in kinds to serve; None serves all.
        rng: for uids, generated names and watch timeouts; None is seeded from the system.
        journal: keeps the objects when the process ends.
        options: limits and periods.
        interceptor: handles all requests except internal ones.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        kinds: Iterable[ServedKind] | None = None,
        rng: random.Random | None = None,
        journal: Journal | None = None,
        options: ApiServerOptions | None = None,
        interceptor: Interceptor | None = None,
    ) -> None:
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311 - names and jitter, no secrets
        self.options = options or ApiServerOptions()
        self.interceptor = interceptor
        self._issuer = TokenIssuer(clock=clock, rng=self.rng)
        self.authenticator = Authenticator(self._issuer, self._account_uid)
        self.authorizer: Authorizer = AllowAll()
        self.address = "127.0.0.1:6443"
        """The address in legacy discovery, which the HTTP front sets."""
        self.kinds = KindRegistry()
        self._builtins = kinds
        self.storage = Storage(journal=journal, history=self.options.history)
        self.deletion = Deletion(self.storage, clock=clock)
        self._lifecycle = NamespaceLifecycle(self.storage, self.kinds, self.deletion)
        self._events = EventExpiry(self.storage, clock=clock)
        self._crds = CrdController(self.storage, self.kinds, self.deletion, clock=clock)
        self.writer = Writer(
            self.storage,
            clock=clock,
            rng=self.rng,
            check_creation=self._check_creation,
            deletion=self.deletion,
        )
        self.webhooks: Webhooks | None = None
        """The admission webhooks, once the server is started."""
        self._exchanges = Exchanges(self.writer)
        self._conversions = self.writer.conversions = Conversions(self._exchanges)
        self._documents = Documents(
            self.kinds, address=lambda: self.address, kubernetes=self.options.kubernetes
        )
        self._subresources = Subresources(self.writer, clock=clock, issuer=self._issuer)
        self._reviews = Reviews(self.authenticator)
        self._handlers = Handlers(
            storage=self.storage,
            writer=self.writer,
            patcher=Patcher(self.writer, clock=clock),
            deletion=self.deletion,
            subresources=self._subresources,
            clock=clock,
            rng=self.rng,
            bookmark_seconds=self.options.bookmark_seconds,
            conversions=self._conversions,
        )

    @property
    def admission(self) -> list[Admission]:
        """Hooks for every create and update, in order."""
        return self.writer.admission

    @property
    def logs(self) -> LogSource | None:
        """The source of pod logs."""
        return self._subresources.logs

    @logs.setter
    def logs(self, source: LogSource | None) -> None:
        self._subresources.logs = source

    def start(self) -> None:
        """Read the journal, serve the kinds, and create the namespaces of every cluster.

        Raises:
            JournalUnusable: the data file cannot be used.
        """
        self.storage.load()
        kinds = self._builtins
        if kinds is None:
            from aimctl.devcluster.apiserver.builtin.types import builtin_kinds

            kinds = (*builtin_kinds(), _SELF_SUBJECT_REVIEW)
        for kind in kinds:
            self.kinds.add(_with_strategy(kind))
        self.storage.collection(CRD_COLLECTION)
        self._crds.load()
        for kind in self.kinds.stored():
            self.writer.collection(kind)
        self._events.load()
        namespaces = self.kinds.find("", "v1", "namespaces")
        self._start_webhooks(namespaces)
        if namespaces is None:
            return
        present = self.writer.collection(namespaces).records
        for name in PERMANENT_NAMESPACES:
            if name not in present:
                self.writer.create(
                    namespaces, "", {"metadata": {"name": name}}, WriteOptions(manager="kube-apiserver")
                )

    def _start_webhooks(self, namespaces: ServedKind | None) -> None:
        kinds = [
            self.kinds.find("admissionregistration.k8s.io", "v1", f"{word}webhookconfigurations")
            for word in ("mutating", "validating")
        ]
        mutating, validating = (None if kind is None else self.writer.collection(kind) for kind in kinds)
        if mutating is not None and validating is not None:
            known = None if namespaces is None else self.writer.collection(namespaces)
            self.webhooks = self.writer.webhooks = Webhooks(self._exchanges, mutating, validating, known)

    def close(self) -> None:
        """End all streams and release the data file. Later connections are refused. May be called more than once."""
        self.storage.close()

    async def handle(self, request: HttpRequest, *, internal: bool = False) -> ApiResponse:
        """Answer one request.

        Args:
            request: the request.
            internal: for the cluster's own parts: not intercepted, not authenticated, and allowed to do everything.

        Raises:
            ConnectionRefused, ConnectionCut: by the interceptor, or because the server is closed.
        """
        if self.storage.closed:
            raise ConnectionRefused("the server is closed")
        query = Query(request.query)
        info = parse_request(request, query)

        async def respond(version: int | None) -> ApiResponse:
            def answer() -> ApiResponse:
                return self._respond(request, info, query, version, internal=internal)

            admitted = self.webhooks is not None and self.webhooks.configured and _is_admitted(info)
            if not admitted and not self.kinds.converting:
                return answer()
            user = CONTROLLERS if internal else self.authenticator.authenticate(request.headers)
            return answer() if user is None else await self._exchanges.answered(answer, user, query)

        if internal or self.interceptor is None:
            return await respond(None)
        return await self.interceptor(info, respond)

    def _respond(
        self, request: HttpRequest, info: RequestInfo, query: Query, version: int | None, *, internal: bool
    ) -> ApiResponse:
        try:
            if not internal:
                self._authorize(request, info)
            return self._admitted(request, info, query, version)
        except statuses.StatusError as error:
            return status_response(error)
        except Pending:
            raise
        except RecursionError:
            return status_response(statuses.bad_request("the object is nested too deeply"))
        except Exception as error:  # noqa: BLE001 - a defect is reported to the client and logged
            _log.exception("%s %s failed", request.method, request.path)
            return status_response(statuses.internal_error(f"{type(error).__name__}: {error}"))

    def _authorize(self, request: HttpRequest, info: RequestInfo) -> None:
        user = self.authenticator.authenticate(request.headers)
        if user is None:
            raise statuses.unauthorized()
        reason = self.authorizer.refuse(user, info)
        if reason is not None:
            raise refusal(user, info, reason)

    def _account_uid(self, namespace: str, name: str) -> str:
        """The uid of a service account; "" if there is none."""
        kind = self.kinds.find("", "v1", "serviceaccounts")
        records = {} if kind is None else self.writer.collection(kind).records
        record = records.get(object_key(namespace, name))
        return "" if record is None else record.uid

    def _check_creation(self, kind: ServedKind, namespace: str, name: str) -> None:
        self._crds.check_creation(kind)
        if kind.resource.namespaced:
            self._lifecycle.check_creation(kind, namespace, name)

    def _admitted(
        self, request: HttpRequest, info: RequestInfo, query: Query, version: int | None
    ) -> ApiResponse:
        if request.body is not None and len(request.body) > self.options.max_body_bytes:
            raise statuses.too_large(self.options.max_body_bytes)
        if not info.resource:
            return self._document(request, query)
        kind = self.kinds.find(info.group, info.version, info.resource)
        misplaced = info.namespace and info.resource != "namespaces"
        if kind is None or (misplaced and not kind.resource.namespaced):
            if self.kinds.serves_builtins(info.group):
                raise statuses.path_not_found()
            return _NO_PATH
        if not kind.stored and not info.subresource:
            return self._review(request, kind, info)
        return self._handlers.answer(request, kind, info, query, version)

    def _document(self, request: HttpRequest, query: Query) -> ApiResponse:
        keys = self._issuer.document(request.path)
        if request.method != "GET" and (keys is not None or self._documents.get_only(request.path)):
            raise statuses.method_not_allowed()
        if keys is not None:
            return json_response(200, keys)
        parts = [part for part in request.path.split("/") if part]
        if parts[:1] == ["openapi"] and not accepts_openapi(header(request.headers, "Accept")):
            return ApiResponse(406, {}, b"")
        found = self._documents.get(request.path, query, header(request.headers, "Accept"))
        if found is None and parts[:1] == ["openapi"]:
            return ApiResponse(404, {}, b"")
        if found is None:
            match request.path.rstrip("/").split("/")[1:]:
                case ["api", _]:
                    raise statuses.path_not_found()
                case ["apis", group, _] if self.kinds.serves_builtins(group):
                    raise statuses.path_not_found()
            return _NO_PATH
        return ApiResponse(200, {"Content-Type": found.content_type}, found.body)

    def _review(self, request: HttpRequest, kind: ServedKind, info: RequestInfo) -> ApiResponse:
        if info.verb != "create":
            raise statuses.method_not_allowed()
        user = self.authenticator.authenticate(request.headers)
        if user is None:
            raise statuses.unauthorized()
        body = decode_body(request, kind.resource.kind)
        body.setdefault("kind", kind.resource.kind)
        body.setdefault("apiVersion", kind.resource.api_version)
        body = decoded_as((kind.resource.kind, kind.schema), body)
        answer = self._reviews.answer(kind.resource.plural, body, info.namespace, user, self.authorizer)
        return json_response(201, answer)


_SELF_SUBJECT_REVIEW = ServedKind(
    Resource.untyped(
        "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False
    ),
    Schema.open(),
    verbs=("create",),
)
_NO_PATH = ApiResponse(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found\n")
"""The response of the real server for an unknown path or group."""


_ADMITTED_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_ADMITTED_SUBRESOURCES = frozenset({"", "status", "finalize", "approval"})


def _is_admitted(info: RequestInfo) -> bool:
    """Whether the request writes what webhooks are called for."""
    return info.verb in _ADMITTED_VERBS and info.subresource in _ADMITTED_SUBRESOURCES


def _with_strategy(kind: ServedKind) -> ServedKind:
    if kind.strategy is not None:
        return kind
    group, plural = kind.resource.group, kind.resource.plural
    if (group, plural) == ("events.k8s.io", "events"):
        kind = replace(kind, storage_key="events", storage_version="v1")
    if kind.resource.api_version == "autoscaling/v1":
        group = "autoscaling/v1"
    from aimctl.devcluster.apiserver.builtin.rules.structures import structure_errors
    from aimctl.devcluster.apiserver.builtin.types import builtin_type

    strategy, known = strategy_for(group, plural), builtin_type(kind)
    if known is None:
        return replace(kind, strategy=strategy)

    def check(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
        own = strategy.check(new, old) if strategy.check is not None else []
        return [*structure_errors(known.definition, new, old), *own]

    return replace(kind, strategy=replace(strategy, check=check))
