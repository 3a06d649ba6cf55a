"""The traces of an operator's process, configured by the environment variables of OpenTelemetry.

Contract:
    * Traces are off, unless ``OTEL_TRACES_EXPORTER`` is ``otlp`` or ``console``. ``OTEL_SDK_DISABLED=true`` turns them
      off. All other variables of the OpenTelemetry SDK apply, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``,
      ``OTEL_EXPORTER_OTLP_HEADERS`` and ``OTEL_TRACES_SAMPLER``. ``OTEL_SERVICE_NAME`` is the operator's name if unset.
    * A thread exports spans in batches. An exporter that fails or is slow loses spans, and delays nothing else.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, final

from aimctl.runtime.kube import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import TracerProvider

    from aimctl.runtime.tracing import Tracer

__all__ = ["FLUSH_SECONDS", "Traces", "start_traces"]

FLUSH_SECONDS = 5.0
"""Time limit for the export of the last spans. A pod has 30 s to end by default."""

_OTLP, _CONSOLE = "otlp", "console"


@final
class Traces:
    """The traces of a process that has them.

    Attributes:
        tracer: for :class:`ManagerOptions`.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.tracer: Tracer = provider.get_tracer("aimctl", version("aimctl"))

    async def aclose(self) -> None:
        """Export the last spans, for at most ``FLUSH_SECONDS``, and stop the exporter."""
        await asyncio.to_thread(self._provider.force_flush, int(FLUSH_SECONDS * 1000))
        await asyncio.to_thread(self._provider.shutdown)


def start_traces(name: str, environ: Mapping[str, str]) -> Traces | None:
    """Start the exporter; None if traces are off.

    Args:
        name: of the operator.
        environ: decides whether traces are on. The SDK itself reads the environment of the process.

    Raises:
        ConfigurationError: the exporter is unknown, or its packages are not installed.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "none"
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if exporter not in (_OTLP, _CONSOLE):
        raise ConfigurationError(
            f"$OTEL_TRACES_EXPORTER={exporter!r}: use {_OTLP}, {_CONSOLE}, or none for no traces"
        )
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

        exports: SpanExporter
        if exporter == _OTLP:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exports = OTLPSpanExporter()
        else:
            exports = ConsoleSpanExporter()
    except ImportError as error:
        raise ConfigurationError(
            f"$OTEL_TRACES_EXPORTER={exporter!r}: the package of {error.name} is missing; install aimctl[tracing]"
        ) from error
    named = {} if environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: name}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exports))
    return Traces(provider)
