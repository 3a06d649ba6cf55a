"""The metric of certificates: the earliest expiry of the chain in use, as of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from prometheus_client import CollectorRegistry

from aimctl.runtime.manager.metrics.certificates import CertificateExpiry
from support.pki import CertificateAuthority

if TYPE_CHECKING:
    from pathlib import Path

NAME = "aimctl_certificate_expiry_timestamp_seconds"


def expiry(pem: bytes) -> float:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()


def test_the_first_certificate_of_a_chain_to_expire_is_reported_and_follows_renewals(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    long, short = (authority.issue(f"for-{days}", days=days).certificate.read_bytes() for days in (90, 3))
    registry, current = CollectorRegistry(), [long + short]
    CertificateExpiry(registry).add("client", lambda: current[0])
    assert registry.get_sample_value(NAME, {"certificate": "client"}) == expiry(short)
    current[0] = long
    assert registry.get_sample_value(NAME, {"certificate": "client"}) == expiry(long)


def test_an_absent_or_unreadable_certificate_has_no_series() -> None:
    registry = CollectorRegistry()
    metrics = CertificateExpiry(registry)
    metrics.add("client", lambda: None)
    metrics.add("metrics", lambda: b"not a certificate")
    (family,) = registry.collect()
    assert (family.name, family.samples) == (NAME, [])


def test_a_time_that_is_known_is_reported_until_the_next_one() -> None:
    registry = CollectorRegistry()
    metrics = CertificateExpiry(registry)
    for timestamp in (1000.0, 2000.0):
        metrics.expires("metrics", timestamp)
        assert registry.get_sample_value(NAME, {"certificate": "metrics"}) == timestamp
