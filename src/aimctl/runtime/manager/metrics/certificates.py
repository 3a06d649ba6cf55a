"""The metric ``aimctl_certificate_expiry_timestamp_seconds{certificate}``: when certificates of the process expire.

Contract: the label is the use of a certificate, such as ``client``. A certificate that is absent, or cannot be read,
has no series. A renewed certificate is reported at the next scrape. A process without certificates does not import what
reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

__all__ = ["CertificateExpiry"]


@final
class CertificateExpiry(Collector):
    """Registers the metric; certificates are added later."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._current: dict[str, Callable[[], bytes | None]] = {}
        self._known: dict[str, tuple[bytes, float | None]] = {}
        self._times: dict[str, float] = {}
        registry.register(self)

    def add(self, certificate: str, current: Callable[[], bytes | None]) -> None:
        """Report a certificate.

        Args:
            certificate: the value of the label.
            current: called at each scrape; the certificate chain that is in use (PEM), or None.
        """
        self._current[certificate] = current

    def expires(self, certificate: str, timestamp: float) -> None:
        """Report when a certificate expires, as Unix time, until the next call for it."""
        self._times[certificate] = timestamp

    def collect(self) -> Iterator[Metric]:
        """The earliest expiry of each chain, as Unix time."""
        family = GaugeMetricFamily(
            "aimctl_certificate_expiry_timestamp_seconds",
            "When a certificate of this process expires, as Unix time.",
            labels=("certificate",),
        )
        for certificate, timestamp in self._times.items():
            family.add_metric((certificate,), timestamp)
        for certificate, current in self._current.items():
            pem = current()
            expiry = None if pem is None else self._expiry(certificate, pem)
            if expiry is not None:
                family.add_metric((certificate,), expiry)
        yield family

    def _expiry(self, certificate: str, pem: bytes) -> float | None:
        known = self._known.get(certificate)
        if known is None or known[0] != pem:
            known = self._known[certificate] = (pem, _earliest_expiry(pem))
        return known[1]


def _earliest_expiry(pem: bytes) -> float | None:
    from cryptography import x509

    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return None
    return min(item.not_valid_after_utc for item in chain).timestamp()
