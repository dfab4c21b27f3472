"""A throw-away certificate authority: the adapter's serving certificate and the HPA's client certificate."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from adapter.auth.serving_certificate.certificate_parts import (
    certificate_builder,
    certificate_pem,
    common_name,
    key_usage,
    private_key_pem,
)
from adapter.clock import SystemClock

_VALID_DAYS = 1.0


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files in one folder. `ca` has signed both the serving and the client certificate."""

    ca: Path
    serving_cert: Path
    serving_key: Path
    client_cert: Path
    client_key: Path


def write_certificates(folder: Path, client_name: str) -> Certificates:
    """Make a CA, a serving certificate for 127.0.0.1 and a client certificate with CN `client_name`."""
    now_ns = SystemClock().now_ns()
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = common_name("leadtime demo CA")
    ca = (
        certificate_builder(ca_name, ca_name, ca_key, ca_key, now_ns, _VALID_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(ca=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    files = Certificates(
        *(folder / name for name in ("ca.pem", "serving.pem", "serving-key.pem", "client.pem", "client-key.pem"))
    )
    files.ca.write_bytes(certificate_pem(ca))
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    for subject, usage, cert_file, key_file in (
        ("leadtime-adapter", ExtendedKeyUsageOID.SERVER_AUTH, files.serving_cert, files.serving_key),
        (client_name, ExtendedKeyUsageOID.CLIENT_AUTH, files.client_cert, files.client_key),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = certificate_builder(common_name(subject), ca_name, key, ca_key, now_ns, _VALID_DAYS)
        builder = builder.add_extension(key_usage(ca=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if usage == ExtendedKeyUsageOID.SERVER_AUTH:
            builder = builder.add_extension(loopback, critical=False)
        cert_file.write_bytes(certificate_pem(builder.sign(ca_key, hashes.SHA256())))
        key_file.touch(mode=0o600)
        key_file.write_bytes(private_key_pem(key))
    return files
