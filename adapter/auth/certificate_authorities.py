"""Certificate authorities, and what they vouch for at an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

NS_PER_SECOND = 1_000_000_000


class BadAuthorities(ValueError):
    """A bundle without a usable certificate."""


class NotVouchedFor(Exception):
    """No chain leads from a certificate to one of the authorities at that instant."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A verified client certificate.

    common_name: "" if it has none. organizations: in the certificate's order.
    fingerprint: SHA-256 of the certificate, lower-case hexadecimal.
    valid_from_ns, valid_until_ns: the span, both ends included, in which its whole chain is valid.
    """

    common_name: str
    organizations: tuple[str, ...]
    fingerprint: str
    valid_from_ns: int
    valid_until_ns: int


class Authorities:
    """A bundle of CAs that vouch for clients, immutable."""

    def __init__(self, pem: str) -> None:
        """Raises BadAuthorities where the text is not PEM certificates, at least one."""
        try:
            self._certificates = tuple(x509.load_pem_x509_certificates(pem.encode()))
        except ValueError as error:
            raise BadAuthorities(f"must hold PEM certificates, at least one ({error})") from error
        self._store = Store(list(self._certificates))
        self.pem = b"".join(one.public_bytes(Encoding.PEM) for one in self._certificates).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Authorities) and other._certificates == self._certificates

    def __hash__(self) -> int:
        return hash(self._certificates)

    def verify(self, chain: Sequence[bytes], now_ns: int) -> ClientCertificate:
        """The client certificate at the chain's head, if it leads to one of these authorities at that instant.

        chain: DER as the client sent it, its own certificate first, then any intermediates in any order.

        The rules are those of Go's x509.Certificate.Verify with ExtKeyUsageClientAuth, by which a Go API server
        judges: signatures, every certificate's dates, CA and certificate-signing rights of the issuers, client
        authentication as a permitted use wherever uses are listed. Any certificate of the bundle ends a chain,
        self-signed or not; authorities with the same name are told apart by their keys. No name is looked at, so
        a front proxy's certificate without a subject alternative name is as good as any. Stricter than Go:
        authorities need RSA keys of 2,048 bits or more, or EC P-256, P-384 or P-521.

        Raises NotVouchedFor.
        """
        at = datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC)
        policy = PolicyBuilder().store(self._store).time(at)
        verifier = policy.extension_policies(ca_policy=_ISSUER, ee_policy=_CLIENT).build_client_verifier()
        try:
            leaf, *intermediates = (x509.load_der_x509_certificate(der) for der in chain)
            verified = verifier.verify(leaf, intermediates).chain
            return ClientCertificate(
                common_name=(_subject(leaf, NameOID.COMMON_NAME) or ("",))[-1],
                organizations=_subject(leaf, NameOID.ORGANIZATION_NAME),
                fingerprint=leaf.fingerprint(SHA256()).hex(),
                valid_from_ns=max(round(one.not_valid_before_utc.timestamp()) for one in verified) * NS_PER_SECOND,
                valid_until_ns=min(round(one.not_valid_after_utc.timestamp()) for one in verified) * NS_PER_SECOND,
            )
        except (VerificationError, ValueError) as error:  # ValueError: the certificate's form
            raise NotVouchedFor(str(error)) from error


def _subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    values = (attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid))
    return tuple(value for value in values if isinstance(value, str))


def _may_sign(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an issuer in the chain may not sign certificates")


def _for_clients(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is not None and _CLIENT_USES.isdisjoint(usage):
        raise ValueError("not for client authentication (extended key usage clientAuth)")


_CLIENT_USES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_CLIENT = ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients)
_ISSUER = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)  # the verifier itself asks for cA
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients)
)
