"""Certificates of servers: loaded from a folder, or self-signed.

Contract: the functions access files or create keys, which takes milliseconds, so callers in an event loop use a thread.
A private key that is created here is never written to a disk (on Linux).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, final

from aimctl.runtime.kube.credentials.tls import load_certificate
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["CERTIFICATE", "KEY", "Certificate", "from_folder", "self_signed"]

CERTIFICATE, KEY = "tls.crt", "tls.key"
"""The names of the files, as in Secrets of the type ``kubernetes.io/tls``."""

_MAX_BYTES = 1024 * 1024
_DAYS = 365
_EARLIER = timedelta(days=1)
"""Time by which the clocks of clients may be slow."""


@final
@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key.

    Attributes:
        context: for servers.
        expires: the end of its validity.
        pem: the certificate and the key as they were loaded.
    """

    context: ssl.SSLContext
    expires: datetime
    pem: tuple[bytes, bytes]


def from_folder(folder: str, current: Certificate | None = None) -> Certificate:
    """The certificate in a folder; ``current`` itself if the files have the same content.

    Kubernetes replaces the files of a mounted Secret together, by changing a symbolic link. If the link changes between
    the two reads, certificate and key do not belong together; both are then read once more.

    Raises:
        ConfigurationError: a file is missing or cannot be used. The message has the path and the remedy.
    """
    for last in (False, True):
        certificate, key = _read(folder, CERTIFICATE), _read(folder, KEY)
        if current is not None and current.pem == (certificate, key):
            return current
        try:
            return _loaded(f"{folder}/{CERTIFICATE}, {folder}/{KEY}", certificate, key)
        except ConfigurationError:
            if last:
                raise
    raise AssertionError  # not reached


def self_signed(now: datetime) -> Certificate:
    """A new certificate for this host, valid for a year. Clients cannot verify it, but the connection is encrypted."""
    # Loading cryptography takes time and memory, which only servers with this certificate need.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    host = socket.gethostname()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    names = [
        *(x509.DNSName(each) for each in dict.fromkeys((host, "localhost")) if each.isascii()),
        *(x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _loaded(
        "the self-signed certificate", certificate.public_bytes(serialization.Encoding.PEM), secret
    )


def _read(folder: str, name: str) -> bytes:
    path = Path(folder) / name
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cert_dir={folder!r}: {path} cannot be read ({error.strerror or error}); the folder must contain"
            f" {CERTIFICATE} and {KEY}, such as a mounted Secret of the type kubernetes.io/tls"
        ) from error
    if len(content) > _MAX_BYTES:
        raise ConfigurationError(f"cert_dir={folder!r}: {path} is larger than 1 MiB; use a PEM file")
    return content


def _loaded(label: str, certificate: bytes, key: bytes) -> Certificate:
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    load_certificate(context, label, certificate, key)
    # The first certificate of the file is that of the server; others are those of its issuers.
    try:
        expires = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    except ValueError as error:
        raise ConfigurationError(
            f"{label}: the certificate cannot be parsed ({error}); use a PEM file"
        ) from error
    return Certificate(context, expires, (certificate, key))
