"""Traces of reconciles and API calls, for a tracer of OpenTelemetry.

Contract:
    * Each reconcile is a span, and each API call in it is a child of that span. A call outside of a reconcile, such as
      a renewal of the Lease, is a span of its own. Watches and followed logs have no spans, because they end with the
      program.
    * A span ends with its reconcile or call. If that raises, the span has the exception and the status ERROR. A
      response of 400 or more is only in the attributes, because many are expected.
    * Names and attributes follow the semantic conventions of OpenTelemetry for HTTP and Kubernetes where these have
      one. No bodies, headers or queries are recorded.
    * Nothing here imports OpenTelemetry: :class:`Tracer` describes the part of its API that is used. Without a tracer
      nothing is wrapped, so tracing costs nothing.
"""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, final

from aimctl.runtime.controller.reconcile import Reconciler
from aimctl.runtime.kube.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping
    from contextlib import AbstractContextManager

    from aimctl.runtime.controller.reconcile import ReconcileFunc, Request, Result
    from aimctl.runtime.kube.transport import HttpRequest, HttpResponse, Transport

__all__ = ["TraceSpan", "TracedTransport", "Tracer", "traced"]


class TraceSpan(Protocol):
    """A span of OpenTelemetry."""

    def set_attribute(self, key: str, value: str | float, /) -> None:
        """Set an attribute."""
        ...


class Tracer(Protocol):
    """A tracer of OpenTelemetry: ``opentelemetry.trace.get_tracer("my-operator")``."""

    def start_as_current_span(
        self, name: str, /, *, attributes: Mapping[str, str | float] | None = None
    ) -> AbstractContextManager[TraceSpan]:
        """Start a span that is the current one in the context. It records an exception that leaves the context."""
        ...


@final
class TracedTransport:
    """A transport that creates a span for each call.

    Args:
        inner: sends the requests.
        tracer: creates the spans.
    """

    def __init__(self, inner: Transport, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[HttpResponse]:
        """Send a request; see :meth:`Transport.send`."""
        if stream:
            async with self._inner.send(request, stream=True, timeout_seconds=timeout_seconds) as response:
                yield response
            return
        attributes = {"http.request.method": request.method, "url.path": request.path}
        refused: ApiError | None = None
        try:
            with self._tracer.start_as_current_span(request.method, attributes=attributes) as span:
                async with self._inner.send(request, timeout_seconds=timeout_seconds) as response:
                    span.set_attribute("http.response.status_code", response.status)
                    try:
                        yield response
                    except ApiError as error:
                        refused = error  # raised after the span, which has the status code
            if refused is not None:
                raise refused
        finally:
            refused = None  # the traceback has this frame

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def traced(
    reconciler: Reconciler | ReconcileFunc, tracer: Tracer, *, controller: str, kind: str
) -> ReconcileFunc:
    """A reconciler that creates a span for each reconcile.

    Args:
        reconciler: the reconciler, or a plain async function.
        tracer: creates the spans.
        controller: name of the controller; part of the span's name.
        kind: of the objects, "" if there is none.
    """
    reconcile = reconciler.reconcile if isinstance(reconciler, Reconciler) else reconciler
    if not callable(reconcile):
        return reconcile  # the controller reports it
    name = f"reconcile {controller}"

    async def span_of(request: Request, answer: Awaitable[Result | None]) -> Result | None:
        attributes = {
            "controller": controller,
            "k8s.namespace.name": request.namespace,
            "k8s.object.kind": kind,
            "k8s.object.name": request.name,
        }
        with tracer.start_as_current_span(name, attributes=attributes) as span:
            result = await answer
            if result is not None and result.requeue_after is not None:
                span.set_attribute("requeue_after_seconds", result.requeue_after)
            return result

    def run(request: Request) -> Awaitable[Result | None]:
        answer: Any = reconcile(request)
        # A reconciler that is not an async function is an error that the controller reports.
        return span_of(request, answer) if inspect.isawaitable(answer) else answer

    return run
