"""Certificate authorities and certificates made up for tests."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW_NS = 1_800_000_000_000_000_000  # 2027-01-15T08:00:00Z, where no real clock is involved
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def make(
    name: str,
    issuer: Made | None = None,
    *,
    ca: bool = False,
    groups: tuple[str, ...] = (),
    uses: tuple[x509.ObjectIdentifier, ...] = CLIENT,
    dns: tuple[str, ...] = (),
    valid_from_ns: int | None = None,
    valid_until_ns: int | None = None,
    key_identifiers: bool = True,
    key: rsa.RSAPrivateKey | None = None,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> Made:
    """A certificate, self-signed without an issuer. valid_*_ns: by default a day around the real now. key: P-256."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = _name(name, groups)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_at(valid_from_ns) if valid_from_ns is not None else now - timedelta(hours=12))
        .not_valid_after(_at(valid_until_ns) if valid_until_ns is not None else now + timedelta(hours=12))
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    elif uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in dns]), critical=False)
    if key_identifiers:
        signer = (issuer.key if issuer else own).public_key()
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    return Made(builder.sign(issuer.key if issuer else own, hashes.SHA256()), own)


def client_context(folder: Path, server_ca: str, client: Made | None = None, *sent: Made) -> ssl.SSLContext:
    """TLS of a client that shows a certificate, followed by those sent with it; server_ca: PEM that it believes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=server_ca)
    if client is not None:
        file = folder / f"{client.certificate.serial_number}.pem"
        file.write_text(client.pem + "".join(one.pem for one in sent) + client.key_pem)
        context.load_cert_chain(file)
    return context


def _name(common_name: str, groups: tuple[str, ...]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    if common_name:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(parts)


def _at(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC)
