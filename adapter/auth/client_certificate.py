"""Clients prove who they are by a certificate from a known CA."""

import ssl
from collections.abc import Callable, Collection
from pathlib import Path

from aiohttp import web

from adapter.errors import BadInput

Authenticate = Callable[[web.BaseRequest], bool]


def server_context(*, cert_file: Path, key_file: Path, client_ca_file: Path) -> ssl.SSLContext:
    """TLS 1.3 with client certificates asked for, but not required: probes come without.

    A certificate from another CA fails the handshake. No session tickets: a resumed session would outlive
    the check. Raises BadInput where a file cannot be used.
    """
    for field, path in (
        ("tls_cert_file", cert_file),
        ("tls_key_file", key_file),
        ("client_ca_file", client_ca_file),
    ):
        _check_readable(field, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_cert_chain(cert_file, key_file, password=lambda: "")  # or it asks on the terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadInput(
                f"tls_key_file: was {str(key_file)!r}, must be the key of tls_cert_file {str(cert_file)!r}; "
                "pass the pair that was made together"
            ) from error
        raise BadInput(
            f"tls_cert_file, tls_key_file: were {str(cert_file)!r}, {str(key_file)!r}, must be a PEM "
            f"certificate and its PEM key without a passphrase ({error.reason}); correct the files"
        ) from error
    try:
        context.load_verify_locations(client_ca_file)
    except ssl.SSLError as error:
        raise BadInput(
            f"client_ca_file: was {str(client_ca_file)!r}, must hold PEM certificates ({error.reason}); "
            "correct the file"
        ) from error
    return context


def by_client_certificate(allowed_names: Collection[str]) -> Authenticate:
    """Accept requests whose verified client certificate has one of these common names, or any if none."""

    def authenticate(request: web.BaseRequest) -> bool:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        if not certificate:
            return False
        names = {value for pairs in certificate["subject"] for key, value in pairs if key == "commonName"}
        return not allowed_names or not names.isdisjoint(allowed_names)

    return authenticate


def _check_readable(field: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{field}: was {str(path)!r}, must be a readable file ({error.strerror}); correct the path"
        ) from error
