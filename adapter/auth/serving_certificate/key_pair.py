"""A certificate with its private key."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import serialization

NS_PER_SECOND = 1_000_000_000


class BadKeyPair(ValueError):
    """A certificate and key that cannot be served: says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM texts that belong together. certificate_pem: the certificate, then its chain; key_pem: without a passphrase.

    not_before_ns, not_after_ns: the certificate's span. dns_names: those it is for.
    """

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    not_before_ns: int
    not_after_ns: int
    dns_names: tuple[str, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate_pem)


def parse_key_pair(certificate_pem: bytes, key_pem: bytes) -> KeyPair:
    """Raises BadKeyPair where either is no PEM, or they do not belong together. Dates are not looked at."""
    try:
        chain = x509.load_pem_x509_certificates(certificate_pem)
    except ValueError as error:
        raise BadKeyPair(f"certificate: must be PEM ({error}); correct it") from error
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: a passphrase is needed
        raise BadKeyPair(f"key: must be a PEM private key without a passphrase ({error}); correct it") from error
    leaf = chain[0]
    if key.public_key() != leaf.public_key():
        raise BadKeyPair("key: is not the key of the certificate; put the pair in place that was made together")
    return KeyPair(
        certificate_pem,
        key_pem,
        not_before_ns=round(leaf.not_valid_before_utc.timestamp()) * NS_PER_SECOND,
        not_after_ns=round(leaf.not_valid_after_utc.timestamp()) * NS_PER_SECOND,
        dns_names=_dns_names(leaf),
    )


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found: Sequence[str] = names.get_values_for_type(x509.DNSName)
    return tuple(found)
