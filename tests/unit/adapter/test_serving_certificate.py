"""The certificate that the adapter shows: reloaded from files, or made, shared, published and renewed by itself."""

import asyncio
import base64
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from fake_object_api import UNREACHABLE, FakeObjectApi
from hypothesis import given, settings
from hypothesis import strategies as st
from made_certificates import NOW_NS, SERVER, Made, make
from pydantic import ValidationError

from adapter.auth.serving_certificate.api_services import NAMES
from adapter.auth.serving_certificate.key_pair import BadKeyPair, KeyPair, parse_key_pair
from adapter.auth.serving_certificate.lineage import Lifetimes, Lineage, next_lineage, parse_secret_data, secret_data
from adapter.auth.serving_certificate.mounted import MountedCertificate
from adapter.auth.serving_certificate.self_managed import SelfManagedCertificate
from adapter.auth.settings import ServingCertificateSettings
from adapter.errors import BadInput
from adapter.sources.kubernetes.api import ApiError

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NAME = "leadtime-adapter.leadtime-system.svc"
SECRET = "/api/v1/namespaces/leadtime-system/secrets/leadtime-adapter-serving"  # noqa: S105
SERVICES = [f"/apis/apiregistration.k8s.io/v1/apiservices/{name}" for name in NAMES]


class HandClock:
    def __init__(self) -> None:
        self.ns = NOW_NS

    def now_ns(self) -> int:
        return self.ns


def verifies(pair: KeyPair, bundle: bytes, now_ns: int, name: str = NAME) -> bool:
    """Whether a client that knows this bundle accepts the certificate for the name, at that instant."""
    at = datetime.fromtimestamp(now_ns // SECOND, UTC)
    store = Store(x509.load_pem_x509_certificates(bundle))
    try:
        PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(name)).verify(pair.leaf, [])
    except x509.verification.VerificationError:
        return False
    return True


class TestMountedFiles:
    """certFile and keyFile."""

    def put(self, folder: Path, made: Made, key: Made | None = None) -> None:
        (folder / "tls.crt").write_text(made.pem)
        (folder / "tls.key").write_text((key or made).key_pem)

    def mounted(self, folder: Path, told: list[KeyPair] | None = None) -> MountedCertificate:
        on_change = told.append if told is not None else lambda _: None
        return MountedCertificate(folder / "tls.crt", folder / "tls.key", clock=HandClock(), on_change=on_change)

    def test_a_changed_pair_is_taken_over(self, tmp_path: Path) -> None:
        first, second = (make(name, uses=SERVER, dns=(NAME,), valid_until_ns=NOW_NS + DAY) for name in ("a", "b"))
        told: list[KeyPair] = []
        self.put(tmp_path, first)
        certificate = self.mounted(tmp_path, told)
        certificate.refresh()
        assert told == []
        self.put(tmp_path, second)
        certificate.refresh()
        assert certificate.current.leaf == second.certificate
        assert certificate.current.dns_names == (NAME,)
        assert told == [certificate.current]

    @pytest.mark.parametrize(
        ("name", "content", "fault"),
        [
            ("tls.key", make("other").key_pem, "is not the key of the certificate"),
            ("tls.crt", "junk", "certificate: must be PEM"),
            ("tls.key", "junk", "key: must be a PEM private key without a passphrase"),
            ("tls.crt", None, "certFile: was '.*tls.crt', must be a readable file"),
            ("tls.key", None, "keyFile: was '.*tls.key', must be a readable file"),
        ],
    )
    def test_a_bad_pair_leaves_the_last_good_one_and_is_told(
        self, tmp_path: Path, name: str, content: str | None, fault: str
    ) -> None:
        good = make("good", valid_until_ns=NOW_NS + DAY)
        self.put(tmp_path, good)
        certificate = self.mounted(tmp_path)
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_text(content)
        certificate.refresh()
        assert certificate.current.leaf == good.certificate
        with pytest.raises(AssertionError, match=fault):
            raise AssertionError(certificate.fault)
        assert "last good pair stays" in certificate.fault
        self.put(tmp_path, good)
        certificate.refresh()
        assert certificate.fault == ""
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_text(content)
        with pytest.raises(BadInput, match=fault):  # to begin with one is an error
            self.mounted(tmp_path)

    def test_an_ended_certificate_is_served_and_told(self, tmp_path: Path) -> None:
        """To show nothing would be no better, and probes do not look."""
        self.put(tmp_path, make("old", valid_from_ns=NOW_NS - 2 * DAY, valid_until_ns=NOW_NS - DAY))
        certificate = self.mounted(tmp_path)
        assert "ended at 2027-01-14T08:00:00Z; renew it" in certificate.fault

    async def test_the_files_are_looked_at_again_and_again(self, tmp_path: Path) -> None:
        first, second = (make(name, valid_until_ns=NOW_NS + DAY) for name in ("a", "b"))
        self.put(tmp_path, first)
        certificate = self.mounted(tmp_path)
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                raise asyncio.CancelledError
            self.put(tmp_path, second)

        with pytest.raises(asyncio.CancelledError):
            await certificate.run(10.0, sleep)
        assert waits == [10.0] * 3
        assert certificate.current.leaf == second.certificate


LIFETIMES = Lifetimes(certificate_days=9, authority_days=30, overlap_seconds=3600)


def following(lineage: Lineage | None, now_ns: int, *, announced_everywhere: bool = True) -> Lineage | None:
    return next_lineage(
        lineage, dns_names=(NAME,), lifetimes=LIFETIMES, now_ns=now_ns, announced_everywhere=announced_everywhere
    )


def begun() -> Lineage:
    lineage = following(None, NOW_NS)
    assert lineage is not None
    return lineage


class TestLineage:
    """How CAs and certificates follow one another."""

    def test_it_begins_with_a_ca_and_a_certificate_for_the_service(self) -> None:
        lineage = begun()
        assert verifies(lineage.pair, lineage.bundle, NOW_NS)
        assert not verifies(lineage.pair, lineage.bundle, NOW_NS, "other.leadtime-system.svc")
        assert following(lineage, NOW_NS) is None

    def test_a_certificate_is_renewed_when_a_third_of_its_span_is_left(self) -> None:
        lineage = begun()
        assert following(lineage, NOW_NS + 6 * DAY - 3600 * SECOND) is None
        renewed = following(lineage, NOW_NS + 6 * DAY + 3600 * SECOND)
        assert renewed is not None
        assert renewed.bundle == lineage.bundle  # the API server need not learn anything
        assert verifies(renewed.pair, renewed.bundle, NOW_NS + 14 * DAY)

    def test_other_names_need_another_certificate(self) -> None:
        names = (NAME, "metrics.example.org")
        other = next_lineage(begun(), dns_names=names, lifetimes=LIFETIMES, now_ns=NOW_NS, announced_everywhere=True)
        assert other is not None
        assert other.pair.dns_names == names

    def test_a_certificate_of_another_ca_is_replaced(self) -> None:
        ours, other = begun(), begun()
        mixed = Lineage(active=ours.active, pair=other.pair)
        mended = following(mixed, NOW_NS)
        assert mended is not None
        assert verifies(mended.pair, ours.bundle, NOW_NS)

    def test_a_new_ca_is_announced_before_it_signs_and_the_old_one_stays_a_while(self) -> None:
        now_ns = NOW_NS + 21 * DAY
        old = begun()
        announced = following(old, now_ns)
        assert announced is not None
        assert announced.announced is not None
        assert announced.bundle == old.active.certificate_pem + announced.announced.certificate_pem
        now_ns += 3599 * SECOND
        while (step := following(announced, now_ns)) is not None:  # certificates go on as before
            assert step.active == old.active
            announced = step
        now_ns += SECOND
        assert following(announced, now_ns, announced_everywhere=False) is None  # an APIService lacks the new CA
        signs = following(announced, now_ns)
        assert signs is not None
        assert signs.active == announced.announced
        assert verifies(signs.pair, announced.bundle, now_ns)
        assert signs.retired == old.active.certificate_pem
        assert following(signs, now_ns + 3599 * SECOND) is None
        alone = following(signs, now_ns + 3600 * SECOND)
        assert alone is not None
        assert alone.bundle == signs.active.certificate_pem

    def test_after_a_long_sleep_it_begins_anew(self) -> None:
        later = following(begun(), NOW_NS + 31 * DAY, announced_everywhere=False)
        assert later is not None
        assert verifies(later.pair, later.bundle, NOW_NS + 31 * DAY)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), min_size=20, max_size=40))
    def test_what_is_shown_is_always_expected(self, steps: list[tuple[float, bool]]) -> None:
        """A client whose bundle lags by up to one look, and one that follows at once, accept every certificate."""
        lineage: Lineage | None = None
        known, now_ns = b"", NOW_NS
        for days, announced_everywhere in steps:
            before = lineage.bundle if lineage else b""
            while (
                step := following(lineage, now_ns, announced_everywhere=announced_everywhere and known == before)
            ) is not None:
                restarted = lineage is None or now_ns >= lineage.active.not_after_ns
                lineage = step
                if restarted:
                    known = before = lineage.bundle
            assert lineage is not None
            assert verifies(lineage.pair, lineage.bundle, now_ns)
            assert verifies(lineage.pair, known, now_ns)
            if announced_everywhere:
                known = lineage.bundle
            now_ns += round(days * DAY)

    def test_the_secret_holds_everything(self) -> None:
        lineage = begun()
        announced = following(lineage, NOW_NS + 21 * DAY)
        assert announced is not None
        for one in (lineage, announced, Lineage(active=announced.active, pair=lineage.pair, retired=lineage.bundle)):
            assert parse_secret_data(secret_data(one)) == one
        assert parse_secret_data({}) is None
        assert lineage.pair.key_pem.decode() not in repr(lineage)

    @pytest.mark.parametrize("name", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
    @pytest.mark.parametrize("content", [None, b"junk"])
    def test_a_damaged_secret_is_told_with_the_remedy(self, name: str, content: bytes | None) -> None:
        data = {key: entry for key, entry in {**secret_data(begun()), name: content}.items() if entry}
        with pytest.raises(BadKeyPair, match="delete the Secret to begin anew"):
            parse_secret_data(data)


def cluster(*, ours: tuple[str, ...] = NAMES, insecure: bool = False) -> FakeObjectApi:
    """The three APIServices; those that are ours lead to our Service."""
    api = FakeObjectApi()
    for path, name in zip(SERVICES, NAMES, strict=True):
        service = "leadtime-adapter" if name in ours else "keda-operator-metrics-apiserver"
        spec: dict[str, Any] = {"service": {"namespace": "leadtime-system", "name": service}}
        api.add(
            path, {"metadata": {"name": name}, "spec": spec | ({"insecureSkipTLSVerify": True} if insecure else {})}
        )
    return api


def replica(api: FakeObjectApi, clock: HandClock, told: list[KeyPair] | None = None) -> SelfManagedCertificate:
    on_change = told.append if told is not None else lambda _: None
    settings = ServingCertificateSettings(certificate_days=9, authority_days=30)
    return SelfManagedCertificate(api, settings, clock=clock, on_change=on_change)


def bundles(api: FakeObjectApi) -> list[bytes]:
    return [base64.b64decode(api.objects[path]["spec"].get("caBundle", "")) for path in SERVICES]


def lineage_of(api: FakeObjectApi) -> Lineage:
    data = api.objects[SECRET]["data"]
    lineage = parse_secret_data({name: base64.b64decode(entry) for name, entry in data.items()})
    assert lineage is not None
    return lineage


class TestSelfManaged:
    """The Secret and the APIServices."""

    @pytest.mark.parametrize("insecure", [False, True])
    async def test_it_makes_one_publishes_it_and_then_shows_it(self, insecure: bool) -> None:
        api, clock, told = cluster(insecure=insecure), HandClock(), list[KeyPair]()
        one = replica(api, clock, told)
        await one.sync()
        assert one.fault == ""
        assert one.current is not None
        assert told == [one.current]
        for path, bundle in zip(SERVICES, bundles(api), strict=True):
            assert verifies(one.current, bundle, clock.ns)
            assert "insecureSkipTLSVerify" not in api.objects[path]["spec"]
        calls = len(api.calls)
        await one.sync()
        assert told == [one.current]
        assert [method for method, _ in api.calls[calls:]] == ["GET"] * 4  # nothing to do, nothing written

    async def test_an_empty_secret_of_the_manifests_is_filled_and_keeps_its_labels(self) -> None:
        api = cluster()
        api.add(SECRET, {"metadata": {"name": "leadtime-adapter-serving", "labels": {"app": "leadtime"}}})
        one = replica(api, HandClock())
        await one.sync()
        assert one.fault == ""
        assert api.objects[SECRET]["metadata"]["labels"] == {"app": "leadtime"}

    async def test_two_replicas_at_once_agree(self) -> None:
        api, clock = cluster(), HandClock()
        replicas = [replica(api, clock) for _ in range(3)]
        await asyncio.gather(*(one.sync() for one in replicas))
        assert {one.fault for one in replicas} == {""}
        [pair] = {one.current for one in replicas}
        assert pair is not None
        assert all(verifies(pair, bundle, clock.ns) for bundle in bundles(api))

    @pytest.mark.parametrize("at", range(12))
    async def test_a_replica_that_comes_between_any_two_steps_is_agreed_with(self, at: int) -> None:
        """Another replica does everything that it does, just before the first's call number `at`."""
        api, clock = cluster(), HandClock()
        first, second = replica(api, clock), replica(api, clock)
        count = itertools.count()

        class Interrupted(FakeObjectApi):
            async def _called(self, method: str, path: str) -> None:
                if next(count) == at:
                    await second.sync()
                await super()._called(method, path)

        interrupted = Interrupted()
        interrupted.objects = api.objects
        interrupted._version = 10_000
        first._api = interrupted
        await first.sync()
        await second.sync()
        assert (first.fault, second.fault) == ("", "")
        assert first.current == second.current == lineage_of(api).pair
        assert bundles(api) == [lineage_of(api).bundle] * 3

    async def test_five_generations_of_cas_with_two_replicas(self) -> None:
        """In 8 days of CAs of 2 days, the API server expects what either replica shows at every moment.

        They look alternately, each every 50 minutes, within the overlap of an hour.
        """
        api, clock = cluster(), HandClock()
        settings = ServingCertificateSettings(certificate_days=1, authority_days=2, overlap_seconds=3600)
        replicas = [SelfManagedCertificate(api, settings, clock=clock) for _ in range(2)]
        await replicas[1].sync()
        authorities = set()
        for look in range(8 * 24 * 60 // 25):
            await replicas[look % 2].sync()
            authorities.add(lineage_of(api).active.certificate_pem)
            [bundle] = set(bundles(api))
            for pair in {one.current for one in replicas}:
                assert pair is not None
                assert verifies(pair, bundle, clock.ns), f"at look {look}"
            assert [one.fault for one in replicas] == ["", ""]
            clock.ns += 25 * 60 * SECOND
        assert len(authorities) >= 5

    async def test_an_api_service_that_leads_elsewhere_is_left_alone_and_told(self) -> None:
        api = cluster(ours=NAMES[:2])
        one = replica(api, HandClock())
        await one.sync()
        assert bundles(api)[2] == b""
        assert "v1beta1.external.metrics.k8s.io leads to leadtime-system/keda-operator-metrics-apiserver" in one.fault
        assert one.current is not None

    async def test_an_api_service_that_does_not_exist_is_no_fault(self) -> None:
        api = cluster()
        del api.objects[SERVICES[2]]
        one = replica(api, HandClock())
        await one.sync()
        assert one.fault == ""

    async def test_a_bundle_that_somebody_changed_is_put_right(self) -> None:
        api = cluster()
        one = replica(api, HandClock())
        await one.sync()
        good = bundles(api)
        api.objects[SERVICES[0]]["spec"]["caBundle"] = ""
        await one.sync()
        assert bundles(api) == good

    async def test_without_the_right_to_patch_it_still_serves_and_says_what_is_missing(self) -> None:
        api = cluster()
        api.failing = {("PATCH", path): ApiError(403, "Forbidden", "cannot patch") for path in SERVICES}
        one = replica(api, HandClock())
        await one.sync()
        assert one.current is not None
        assert "get and patch apiservices.apiregistration.k8s.io" in one.fault

    async def test_no_ca_signs_while_the_api_services_cannot_be_patched(self) -> None:
        api, clock = cluster(), HandClock()
        one = replica(api, clock)
        await one.sync()
        old = lineage_of(api).active
        api.failing = {("PATCH", path): ApiError(403, "Forbidden", "cannot patch") for path in SERVICES}
        for _ in range(40):
            clock.ns += 6 * 3600 * SECOND
            await one.sync()
        clock.ns = NOW_NS + 29 * DAY
        await one.sync()
        assert lineage_of(api).announced is not None
        assert lineage_of(api).active == old
        assert one.current is not None
        assert all(verifies(one.current, bundle, clock.ns) for bundle in bundles(api))

    async def test_an_outage_leaves_the_pair_in_use(self) -> None:
        api, clock, told = cluster(), HandClock(), list[KeyPair]()
        one = replica(api, clock, told)
        await one.sync()
        api.failure = UNREACHABLE
        await one.sync()
        assert "connection refused" in one.fault
        assert told == [one.current]

    async def test_a_damaged_secret_is_not_overwritten(self) -> None:
        api = cluster()
        api.add(SECRET, {"metadata": {"name": "x"}, "data": {"ca.crt": "!"}})
        one = replica(api, HandClock())
        await one.sync()
        assert one.current is None
        assert "Secret leadtime-system/leadtime-adapter-serving: data: must be base64" in one.fault
        assert api.objects[SECRET]["data"] == {"ca.crt": "!"}

    async def test_it_syncs_each_minute_and_sooner_after_a_failure(self) -> None:
        api, waits = cluster(), list[float]()
        api.failure = UNREACHABLE

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 8:
                api.failure = None
            if len(waits) == 10:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await replica(api, HandClock()).run(sleep)
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"certFile": "a"}, "keyFile: was not set, must be given together with certFile"),
        ({"keyFile": "a"}, "certFile: was not set, must be given together with keyFile"),
        (
            {"certificateDays": 90, "authorityDays": 100},
            "authorityDays: was 100, must be at least twice certificateDays",
        ),
        ({"serviceName": "UPPER"}, "String should match pattern"),
        ({"overlapSeconds": 1}, "greater than or equal to 60"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ServingCertificateSettings.model_validate(values)


def test_a_pair_is_named_by_its_subject_alternative_names() -> None:
    made = make("x", dns=("a.b.svc", "c.d"))
    pair = parse_key_pair(made.pem.encode(), made.key_pem.encode())
    assert pair.dns_names == ("a.b.svc", "c.d")
    assert pair.not_after_ns - pair.not_before_ns == round(timedelta(days=1).total_seconds()) * SECOND
