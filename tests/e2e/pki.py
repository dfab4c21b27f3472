"""Certificates of a test cluster: authorities, and what they sign, as PEM files in one folder."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_FOR = timedelta(days=1)  # no test cluster lives longer


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority. certificate: its own, PEM; its private key is never written."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        signed = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.certificate = folder / f"{name}.crt"
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def client(self, user: str, groups: Sequence[str] = (), *, name: str | None = None) -> KeyPair:
        """A client certificate. Kubernetes reads the user from its CN and the groups from its Os.

        name: of the files, without suffix; the user when left out.
        """
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._issue(name or user, x509.Name(attributes), [ExtendedKeyUsageOID.CLIENT_AUTH], None)

    def server(self, name: str, hosts: Sequence[str], *, also_client: bool = False) -> KeyPair:
        """A serving certificate for these DNS names and IP addresses.

        also_client: it may call, too, as KEDA's adapter does with it.
        """
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if also_client else [])]
        return self._issue(name, subject, usages, names)

    def _issue(
        self,
        name: str,
        subject: x509.Name,
        usages: Sequence[x509.ObjectIdentifier],
        hosts: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(subject, key).add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            builder = builder.add_extension(hosts, critical=False)
        pair = KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        signed = builder.sign(self._key, hashes.SHA256())
        pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        _write_key(pair.key, key)
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + VALID_FOR)
        )


class ClusterCertificates:
    """All that one control plane needs.

    ca: signs the serving certificates and the users' client certificates.
    requestheader_ca, front_proxy: the aggregation layer's own authority, and the client certificate
        "front-proxy-client" by which the API server calls an aggregated API.
    serving: of every server here, at addresses. etcd_client: of the API server to etcd.
    tokens: signs ServiceAccount tokens.
    """

    def __init__(self, folder: Path, addresses: Sequence[str]) -> None:
        self.ca = Authority(folder, "ca")
        self.requestheader_ca = Authority(folder, "requestheader-ca")
        self.front_proxy = self.requestheader_ca.client("front-proxy-client")
        self.serving = self.ca.server("serving", addresses)
        self.etcd_client = self.ca.client("etcd-client")
        self.tokens = _signing_key(folder, "service-account")


def _signing_key(folder: Path, name: str) -> KeyPair:
    """A bare key pair, as ServiceAccount tokens are signed with: the "certificate" is the public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pair = KeyPair(folder / f"{name}.pub", folder / f"{name}.key")
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    pair.certificate.write_bytes(key.public_key().public_bytes(encoding, form))
    _write_key(pair.key, key)
    return pair


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key that only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
