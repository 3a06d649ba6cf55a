"""Certificates of protected servers: self-signed ones, and their renewal."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

from cryptography import x509

from aimctl.runtime import Client, SecureServing
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager.serving.secure.certificates import self_signed
from aimctl.runtime.manager.serving.secure.protection import Protection
from support.leaseapi import LeaseApi, LeaseTransport

START = datetime(2026, 1, 1, tzinfo=UTC)


class Recorded:
    """What happened to the certificate."""

    def __init__(self) -> None:
        self.read: list[bool] = []
        self.expiry: list[float] = []

    def certificate_read(self, *, failed: bool) -> None:
        self.read.append(failed)

    def certificate_expires(self, certificate: str, timestamp: float) -> None:
        assert certificate == "metrics"
        self.expiry.append(timestamp)


async def test_a_self_signed_certificate_is_replaced_a_month_before_its_end():
    now, recorded = [START], Recorded()
    clock = LoopClock(lambda: now[0])
    client = Client(LeaseTransport(LeaseApi()), clock=clock)
    async with Protection(SecureServing(), client, clock=clock, metrics=recorded) as protection:
        first = protection.context()
        now[0] = START + timedelta(days=334)
        await protection.check()
        assert protection.context() is first
        now[0] = START + timedelta(days=336)
        await protection.check()
        assert protection.context() is not first
    assert recorded.read == [False, False]
    ends = [START + timedelta(days=365), now[0] + timedelta(days=365)]
    assert recorded.expiry == [end.timestamp() for end in ends]


def test_a_self_signed_certificate_names_this_host_and_is_for_servers():
    made = self_signed(START)
    certificate = x509.load_pem_x509_certificate(made.pem[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {socket.gethostname(), "localhost"} <= set(names.get_values_for_type(x509.DNSName))
    assert certificate.not_valid_before_utc < START < certificate.not_valid_after_utc == made.expires
    assert self_signed(START).pem != made.pem


async def test_files_that_cannot_be_used_any_more_are_reported_once(tmp_path, capsys):
    made = self_signed(START)
    for name, content in zip(("tls.crt", "tls.key"), made.pem, strict=True):
        (tmp_path / name).write_bytes(content)
    recorded, clock = Recorded(), LoopClock(lambda: START)
    client = Client(LeaseTransport(LeaseApi()), clock=clock)
    async with Protection(SecureServing(str(tmp_path)), client, clock=clock, metrics=recorded) as protection:
        context = protection.context()
        (tmp_path / "tls.key").unlink()
        for _ in range(3):
            await protection.check()
        assert protection.context() is context
    assert recorded.read == [False, True, True, True]
    assert capsys.readouterr().out.count("the certificate stays in use") == 1
