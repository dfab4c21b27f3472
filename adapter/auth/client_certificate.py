"""Clients who prove who they are by a certificate of their own: its common name is the user, its organizations are
the groups.

Source: apiserver pkg/authentication/request/x509/x509.go, CommonNameUserConversion.
"""

from dataclasses import dataclass
from pathlib import Path

from adapter.auth.certificate_authorities import Authorities, BadAuthorities, ClientCertificate
from adapter.auth.identity import User
from adapter.errors import BadInput


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """Whose certificates name users. allowed_names: their common names, () for any that the authorities have signed."""

    authorities: Authorities
    allowed_names: tuple[str, ...] = ()


def user_of(certificate: ClientCertificate) -> User | None:
    """The user whose certificate this is, None where it has no common name."""
    if not certificate.common_name:
        return None
    return User(
        certificate.common_name,
        certificate.organizations,
        extra=(("authentication.kubernetes.io/credential-id", (f"X509SHA256={certificate.fingerprint}",)),),
    )


def read_client_certificates(client_ca_file: Path, allowed_names: tuple[str, ...] = ()) -> ClientCertificates:
    """From a file of PEM certificates. Raises BadInput."""
    try:
        return ClientCertificates(Authorities(client_ca_file.read_text(encoding="utf-8")), allowed_names)
    except OSError as error:
        raise BadInput(
            f"clientCAFile: was {str(client_ca_file)!r}, must be a readable file ({error.strerror}); correct the path"
        ) from error
    except (BadAuthorities, UnicodeDecodeError) as error:
        raise BadInput(
            f"clientCAFile: was {str(client_ca_file)!r}, must hold PEM certificates, at least one; correct the file"
        ) from error
