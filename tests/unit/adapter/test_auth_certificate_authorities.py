"""Whom a bundle of CAs vouches for, by the rules of Go's certificate verification."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from made_certificates import CLIENT, NOW_NS, SERVER, Made, make

from adapter.auth.certificate_authorities import Authorities, BadAuthorities, NotVouchedFor

DAY_NS = 86_400_000_000_000
SPAN = {"valid_from_ns": NOW_NS - DAY_NS, "valid_until_ns": NOW_NS + DAY_NS}

CA = make("front-proxy-ca", ca=True, **SPAN)
NAMESAKE = make("front-proxy-ca", ca=True, **SPAN)
UNIDENTIFIED = make("front-proxy-ca", ca=True, key_identifiers=False, **SPAN)
UNIDENTIFIED_TOO = make("front-proxy-ca", ca=True, key_identifiers=False, **SPAN)
ENDED_CA = make("front-proxy-ca", ca=True, valid_from_ns=NOW_NS - DAY_NS, valid_until_ns=NOW_NS - 1_000_000_000)
INTERMEDIATE = make("intermediate", CA, ca=True, **SPAN)
NO_CA = make("not-a-ca", CA, **SPAN)
CONSTRAINED = make("constrained", CA, more=((x509.BasicConstraints(ca=True, path_length=0), True),), uses=(), **SPAN)
BELOW_CONSTRAINED = make("too-deep", CONSTRAINED, ca=True, **SPAN)
FOR_SERVERS = make("servers", CA, ca=True, more=((x509.ExtendedKeyUsage(list(SERVER)), False),), **SPAN)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def client(issuer: Made, **options: object) -> Made:
    return make("front-proxy-client", issuer, **{**SPAN, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bundle", "chain"),
    [
        pytest.param([CA], [client(CA)], id="without-a-subject-alternative-name"),
        pytest.param([CA], [client(CA, uses=())], id="without-stated-uses"),
        pytest.param([CA], [client(CA, uses=SERVER + CLIENT)], id="for-servers-and-clients"),
        pytest.param([CA], [client(CA, uses=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))], id="for-any-use"),
        pytest.param([NAMESAKE, CA], [client(CA)], id="a-namesake-of-the-ca-first"),
        pytest.param([UNIDENTIFIED, UNIDENTIFIED_TOO], [client(UNIDENTIFIED_TOO)], id="namesakes-without-key-ids"),
        pytest.param([ENDED_CA, CA], [client(CA)], id="an-ended-ca-in-the-bundle"),
        pytest.param([CA], [client(INTERMEDIATE), INTERMEDIATE], id="an-intermediate-that-was-sent"),
        pytest.param([CA], [client(INTERMEDIATE), NAMESAKE, INTERMEDIATE], id="sent-beside-others"),
        pytest.param([INTERMEDIATE], [client(INTERMEDIATE)], id="an-intermediate-that-is-trusted-itself"),
    ],
)
def test_vouched_for(bundle: list[Made], chain: list[Made]) -> None:
    verified = Authorities("".join(one.pem for one in bundle)).verify([one.der for one in chain], NOW_NS)
    assert verified.common_name == "front-proxy-client"
    assert verified.valid_from_ns == NOW_NS - DAY_NS
    assert verified.valid_until_ns == NOW_NS + DAY_NS


@pytest.mark.parametrize(
    ("bundle", "chain", "why"),
    [
        pytest.param([NAMESAKE], [client(CA)], "signature", id="forged-by-a-ca-of-the-same-name"),
        pytest.param([CA], [make("front-proxy-client", **SPAN)], "candidates exhausted", id="self-signed"),  # type: ignore[arg-type]
        pytest.param([CA], [client(CA, valid_until_ns=NOW_NS - 10**9)], "not valid", id="ended"),
        pytest.param([CA], [client(CA, valid_from_ns=NOW_NS + 10**9)], "not valid", id="not-yet-valid"),
        pytest.param([ENDED_CA], [client(ENDED_CA)], "not valid", id="of-a-ca-that-ended"),
        pytest.param([CA], [client(CA, uses=SERVER)], "clientAuth", id="for-servers-only"),
        pytest.param([CA], [client(FOR_SERVERS), FOR_SERVERS], "clientAuth", id="of-an-intermediate-for-servers"),
        pytest.param([CA], [client(INTERMEDIATE)], "candidates exhausted", id="the-intermediate-was-not-sent"),
        pytest.param([CA], [client(NO_CA), NO_CA], "basicConstraints", id="signed-by-another-client"),
        pytest.param(
            [CA], [client(BELOW_CONSTRAINED), CONSTRAINED, BELOW_CONSTRAINED], "path length", id="too-deep-a-chain"
        ),
        pytest.param([CA], [client(CA, more=((UNKNOWN, True),))], "critical", id="an-unknown-critical-extension"),
    ],
)
def test_not_vouched_for(bundle: list[Made], chain: list[Made], why: str) -> None:
    with pytest.raises(NotVouchedFor, match=why):
        Authorities("".join(one.pem for one in bundle)).verify([one.der for one in chain], NOW_NS)


def test_garbage_is_not_vouched_for() -> None:
    with pytest.raises(NotVouchedFor):
        Authorities(CA.pem).verify([b"\x30\x03junk"], NOW_NS)


def test_the_verdict_ends_with_the_first_certificate_of_the_chain_that_ends() -> None:
    short = make("short", CA, ca=True, valid_from_ns=NOW_NS - 10**9, valid_until_ns=NOW_NS + 60 * 10**9)
    verified = Authorities(CA.pem).verify([client(short).der, short.der], NOW_NS)
    assert (verified.valid_from_ns, verified.valid_until_ns) == (NOW_NS - 10**9, NOW_NS + 60 * 10**9)


def test_the_last_common_name_and_every_organization_count() -> None:
    verified = Authorities(CA.pem).verify([make("ada", CA, groups=("dev", "ops"), **SPAN).der], NOW_NS)  # type: ignore[arg-type]
    assert (verified.common_name, verified.organizations) == ("ada", ("dev", "ops"))


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_without_certificates_is_refused(text: str) -> None:
    with pytest.raises(BadAuthorities, match="must hold PEM certificates"):
        Authorities(text)
