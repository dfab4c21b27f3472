"""A serving certificate of our own making, shared by all replicas, expected by the API server, renewed in time."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from adapter.auth.review_api import ObjectApi
from adapter.auth.serving_certificate.api_services import ApiService, publish, read_api_services
from adapter.auth.serving_certificate.key_pair import BadKeyPair, KeyPair
from adapter.auth.serving_certificate.lineage import (
    Lifetimes,
    Lineage,
    next_lineage,
    parse_secret_data,
    secret_data,
)
from adapter.auth.settings import ServingCertificateSettings
from adapter.clock import Clock
from adapter.sources.kubernetes.api import ApiError

_log = logging.getLogger(__name__)
_STEPS: Final = 10  # of one sync: conflicts with other replicas included
_FIRST_RETRY_SECONDS: Final = 1.0


class SelfManagedCertificate:
    """Keeps one Secret and the APIServices in step with `next_lineage`.

    There is no leader: whoever sees that a step is due takes it. A write holds only if the Secret is still as it was
    read, so of several replicas one wins and the others take over what it wrote. The APIServices are read before
    the Secret and written at the version read, so an old bundle never replaces a newer one.

    current: the pair to serve, None before the first sync. fault: what does not work, "" if everything does.
    """

    def __init__(
        self,
        api: ObjectApi,
        settings: ServingCertificateSettings,
        *,
        clock: Clock,
        on_change: Callable[[KeyPair], None] = lambda _: None,
    ) -> None:
        """on_change: called with every new pair."""
        self.current: KeyPair | None = None
        self.fault = "serving certificate: not read yet"
        self._api = api
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._dns_names = (f"{settings.service_name}.{settings.namespace}.svc", *settings.extra_dns_names)
        self._lifetimes = Lifetimes(
            certificate_days=settings.certificate_days,
            authority_days=settings.authority_days,
            overlap_seconds=settings.overlap_seconds,
        )
        self._secrets = f"/api/v1/namespaces/{settings.namespace}/secrets"

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Sync again and again, until cancelled; after a failure sooner, at 1 s, 2 s, 4 s and so on."""
        failures = 0
        while True:
            await self.sync()
            failures = failures + 1 if self.fault else 0
            retry = _FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10)
            await sleep(min(retry, self._settings.sync_seconds) if failures else self._settings.sync_seconds)

    async def sync(self) -> None:
        """Take whatever steps are due, then serve what the Secret holds. A failure is told by `fault`."""
        try:
            faults = await self._sync()
        except (ApiError, BadKeyPair) as error:
            faults = [f"{error}{_remedy(error)}"]
        fault = "; ".join(faults)
        if fault and fault != self.fault:
            _log.error("serving certificate: %s", fault)
        self.fault = fault

    async def _sync(self) -> list[str]:
        for _ in range(_STEPS):
            services, faults = await self._read_services()  # before the Secret: see the class
            secret = await self._read_secret()
            try:
                lineage = parse_secret_data(_entries(secret))
            except BadKeyPair as error:
                raise BadKeyPair(f"Secret {self._settings.namespace}/{self._settings.secret_name}: {error}") from error
            following = next_lineage(
                lineage,
                dns_names=self._dns_names,
                lifetimes=self._lifetimes,
                now_ns=self._clock.now_ns(),
                announced_everywhere=lineage is not None
                and services is not None
                and all(service.trusts(lineage.bundle) for service in services),
            )
            try:
                if following is not None:
                    await self._write_secret(secret, following)
                elif lineage is not None:
                    faults += await self._publish(services or [], lineage.bundle)
                    self._serve(lineage.pair)
                    return faults
            except ApiError as error:
                if error.status != 409:
                    raise
                _log.info("serving certificate: another replica was first (%s); looking again", error.message)
        return [f"no agreement with other replicas after {_STEPS} steps; trying again"]

    async def _read_services(self) -> tuple[list[ApiService] | None, list[str]]:
        """None where they cannot be read: the certificate is served all the same, but no CA is replaced."""
        try:
            return await read_api_services(
                self._api, namespace=self._settings.namespace, service_name=self._settings.service_name
            )
        except ApiError as error:
            return None, [f"APIServices: {error}{_remedy(error)}"]

    async def _publish(self, services: list[ApiService], bundle: bytes) -> list[str]:
        """Raises ApiError for a conflict only."""
        faults: list[str] = []
        for service in services:
            if service.trusts(bundle):
                continue
            try:
                await publish(self._api, service, bundle)
                _log.info("serving certificate: APIService %s now expects our CA", service.name)
            except ApiError as error:
                if error.status == 409:
                    raise
                faults.append(f"APIService {service.name}: {error}{_remedy(error)}")
        return faults

    async def _read_secret(self) -> dict[str, Any] | None:
        try:
            return await self._api.get(f"{self._secrets}/{self._settings.secret_name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _write_secret(self, found: Mapping[str, Any] | None, lineage: Lineage) -> None:
        """Raises ApiError, with status 409 where another replica was first."""
        data = {name: base64.b64encode(entry).decode() for name, entry in secret_data(lineage).items()}
        name = self._settings.secret_name
        if found is None:
            metadata = {"name": name, "namespace": self._settings.namespace}
            await self._api.post(
                self._secrets,
                {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data},
            )
        else:  # its labels, and the resourceVersion that makes it fail if it has changed, are kept
            await self._api.put(f"{self._secrets}/{name}", {**found, "data": data})

    def _serve(self, pair: KeyPair) -> None:
        if pair != self.current:
            self.current = pair
            self._on_change(pair)


def _entries(secret: Mapping[str, Any] | None) -> dict[str, bytes]:
    data: Mapping[str, str] = (secret or {}).get("data") or {}
    try:
        return {name: base64.b64decode(entry, validate=True) for name, entry in data.items()}
    except ValueError as error:
        raise BadKeyPair(f"data: must be base64 ({error}); delete the Secret to begin anew") from error


def _remedy(error: Exception) -> str:
    if isinstance(error, ApiError) and error.status == 403:
        return (
            "; allow the adapter's service account to get, create and update the Secret, and to get and patch "
            "apiservices.apiregistration.k8s.io"
        )
    return ""
