# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away certificate authority and a server certificate for the loopback address."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .scenario import DEFAULT_ACCOUNT

_LIFETIME = datetime.timedelta(days=2)


@dataclass(frozen=True)
class CertificateFiles:
    """`bundle` is for clients, the other two are for the server."""

    bundle: Path
    certificate: Path
    key: Path

    def remove(self) -> None:
        for path in (self.bundle, self.certificate, self.key):
            path.unlink(missing_ok=True)


def write_certificates(directory: Path) -> CertificateFiles:
    """Make a new authority, sign one certificate, forget the authority's key."""
    authority_key, server_key = _new_key(), _new_key()
    authority = _certificate("Emulator throw-away CA", authority_key, None, authority_key)
    server = _certificate("localhost", server_key, authority, authority_key)
    files = CertificateFiles(
        directory / "emulator-ca.pem", directory / "emulator.pem", directory / "emulator.key"
    )
    files.bundle.write_bytes(_pem(authority))
    files.certificate.write_bytes(_pem(server))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFETIME)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(_usage(issuer is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if issuer is not None:
        builder = builder.add_extension(_loopback_names(), critical=False).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256())


def _loopback_names() -> x509.SubjectAlternativeName:
    address = ipaddress.ip_address("127.0.0.1")
    # S3 Control is called at a host name that begins with the account.
    names = [x509.DNSName("localhost"), x509.DNSName(f"{DEFAULT_ACCOUNT}.localhost")]
    return x509.SubjectAlternativeName([*names, x509.IPAddress(address)])


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
