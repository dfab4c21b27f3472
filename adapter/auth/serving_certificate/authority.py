"""A certificate authority of our own, and the certificates that it signs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from adapter.auth.serving_certificate.certificate_parts import (
    CLOCK_SKEW_NS,
    certificate_builder,
    certificate_pem,
    common_name,
    key_usage,
    private_key_pem,
)
from adapter.auth.serving_certificate.key_pair import NS_PER_SECOND, BadKeyPair, KeyPair, parse_key_pair


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: its certificate, and the key that signs, both PEM."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    not_before_ns: int
    not_after_ns: int

    @property
    def made_ns(self) -> int:
        """When it was made."""
        return self.not_before_ns + CLOCK_SKEW_NS

    def has_issued(self, pair: KeyPair) -> bool:
        """Whether it signed the pair's certificate."""
        try:
            pair.leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(self.certificate_pem))
        except Exception:  # ValueError, TypeError, InvalidSignature: each says no
            return False
        return True


def parse_authority(certificate_pem: bytes, key_pem: bytes) -> Authority:
    """Raises BadKeyPair."""
    pair = parse_key_pair(certificate_pem, key_pem)
    return Authority(pair.certificate_pem, pair.key_pem, pair.not_before_ns, pair.not_after_ns)


def make_authority(now_ns: int, valid_days: float) -> Authority:
    """A new CA with a P-256 key. Its name carries the second, for those who read; verifiers go by its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = common_name(f"leadtime-adapter-ca@{now_ns // NS_PER_SECOND}")
    certificate = (
        certificate_builder(name, name, key, key, now_ns, valid_days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return parse_authority(certificate_pem(certificate), private_key_pem(key))


def issue(authority: Authority, dns_names: Sequence[str], now_ns: int, valid_days: float) -> KeyPair:
    """A serving certificate with a new P-256 key for these names, the first of which is also its common name.

    It ends with its authority at the latest.
    """
    ca_key = serialization.load_pem_private_key(authority.key_pem, password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise BadKeyPair("ca.key: must be an EC key, as this program makes them; delete the Secret to begin anew")
    ca = x509.load_pem_x509_certificate(authority.certificate_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    days = min(valid_days, (authority.not_after_ns - now_ns) / (86_400 * NS_PER_SECOND))
    subject = common_name(dns_names[0][:64])  # the longest common name that X.520 allows
    certificate = (
        certificate_builder(subject, ca.subject, key, ca_key, now_ns, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return parse_key_pair(certificate_pem(certificate), private_key_pem(key))
