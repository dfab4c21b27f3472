"""The CAs and the certificate that all replicas share, and how they follow one another.

A CA lives in three stages: announced (in the API server's bundle, signs nothing yet), active (signs), retired (still
in the bundle, for replicas that have not yet looked). No certificate is shown before its CA is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography import x509

from adapter.auth.serving_certificate.authority import Authority, issue, make_authority, parse_authority
from adapter.auth.serving_certificate.certificate_parts import CLOCK_SKEW_NS
from adapter.auth.serving_certificate.key_pair import NS_PER_SECOND, BadKeyPair, KeyPair, parse_key_pair

_NS_PER_DAY = 86_400 * NS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long certificates and CAs are valid, days, and how long two CAs overlap, seconds.

    Each is renewed when a third of its span is left.
    """

    certificate_days: float
    authority_days: float
    overlap_seconds: float

    @property
    def overlap_ns(self) -> int:
        return round(self.overlap_seconds * NS_PER_SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What the Secret holds. pair is signed by active. retired: PEM of the last active CA, b"" for none."""

    active: Authority
    pair: KeyPair
    announced: Authority | None = None
    retired: bytes = b""

    @property
    def bundle(self) -> bytes:
        """PEM of every CA that the API server must know."""
        announced = self.announced.certificate_pem if self.announced else b""
        return self.active.certificate_pem + announced + self.retired


def next_lineage(
    lineage: Lineage | None,
    *,
    dns_names: tuple[str, ...],
    lifetimes: Lifetimes,
    now_ns: int,
    announced_everywhere: bool,
) -> Lineage | None:
    """What must follow this lineage now, one step at a time; None if nothing must.

    lineage: None before the first. announced_everywhere: whether every APIService of ours holds its whole bundle.
    """
    if lineage is None or now_ns >= lineage.active.not_after_ns:  # ended: there is nothing left to overlap with
        return _begin(dns_names, lifetimes, now_ns)
    announced = lineage.announced
    if announced is not None:
        if announced_everywhere and now_ns >= announced.made_ns + lifetimes.overlap_ns:
            pair = issue(announced, dns_names, now_ns, lifetimes.certificate_days)
            return Lineage(active=announced, pair=pair, retired=lineage.active.certificate_pem)
    elif _left_ns(lineage.active, now_ns) < lifetimes.authority_days * _NS_PER_DAY / 3:
        return replace(lineage, announced=make_authority(now_ns, lifetimes.authority_days))
    pair = lineage.pair
    due = pair.not_after_ns - now_ns < _span_ns(pair) / 3 and pair.not_after_ns < lineage.active.not_after_ns
    if due or pair.dns_names != dns_names or not lineage.active.has_issued(pair):
        return replace(lineage, pair=issue(lineage.active, dns_names, now_ns, lifetimes.certificate_days))
    if lineage.retired and now_ns >= pair.not_before_ns + CLOCK_SKEW_NS + lifetimes.overlap_ns:
        return replace(lineage, retired=b"")
    return None


def secret_data(lineage: Lineage) -> dict[str, bytes]:
    """The lineage as the entries of a Secret, under the names that Kubernetes' TLS Secrets use where there are some."""
    announced = lineage.announced
    entries = {
        "ca.crt": lineage.active.certificate_pem,
        "ca.key": lineage.active.key_pem,
        "tls.crt": lineage.pair.certificate_pem,
        "tls.key": lineage.pair.key_pem,
        "announced-ca.crt": announced.certificate_pem if announced else b"",
        "announced-ca.key": announced.key_pem if announced else b"",
        "retired-ca.crt": lineage.retired,
    }
    return {name: entry for name, entry in entries.items() if entry}


def parse_secret_data(data: Mapping[str, bytes]) -> Lineage | None:
    """The lineage in a Secret's entries, None where it is empty. Raises BadKeyPair."""
    if not data:
        return None
    retired = data.get("retired-ca.crt", b"")
    try:
        if retired:
            x509.load_pem_x509_certificate(retired)
        return Lineage(
            active=parse_authority(data["ca.crt"], data["ca.key"]),
            pair=parse_key_pair(data["tls.crt"], data["tls.key"]),
            announced=parse_authority(data["announced-ca.crt"], data["announced-ca.key"])
            if "announced-ca.crt" in data
            else None,
            retired=retired,
        )
    except KeyError as error:
        raise BadKeyPair(f"{error.args[0]}: was missing; delete the Secret to begin anew") from error
    except ValueError as error:
        raise BadKeyPair(f"{error}; or delete the Secret to begin anew") from error


def _begin(dns_names: tuple[str, ...], lifetimes: Lifetimes, now_ns: int) -> Lineage:
    active = make_authority(now_ns, lifetimes.authority_days)
    return Lineage(active=active, pair=issue(active, dns_names, now_ns, lifetimes.certificate_days))


def _left_ns(authority: Authority, now_ns: int) -> int:
    return authority.not_after_ns - now_ns


def _span_ns(pair: KeyPair) -> int:
    return pair.not_after_ns - pair.not_before_ns
