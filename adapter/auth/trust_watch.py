"""Follows the ConfigMap by which kube-apiserver says whose certificates to believe."""

from collections.abc import Mapping
from typing import Any

from adapter.auth.trust import CONFIG_MAP_NAME, CONFIG_MAP_NAMESPACE, MISSING, ClusterTrust
from adapter.sources.kubernetes.api import ApiReader
from adapter.sources.kubernetes.list_watch import ListWatch

_ROLE = "extension-apiserver-authentication-reader"


class TrustWatch:
    """Keeps a ClusterTrust current while `run` runs; an outage of the API server leaves it as it is.

    It lists and watches that one ConfigMap by name, which Role extension-apiserver-authentication-reader in
    kube-system allows.
    """

    def __init__(self, client: ApiReader, trust: ClusterTrust) -> None:
        self._trust = trust
        self._watch: ListWatch[Mapping[str, str]] = ListWatch(
            client,
            f"/api/v1/namespaces/{CONFIG_MAP_NAMESPACE}/configmaps",
            prune=_data,
            field_selector=f"metadata.name={CONFIG_MAP_NAME}",
            on_change=lambda _, data: trust.update(data),
        )

    async def run(self) -> None:
        """Until cancelled."""
        await self._watch.run()

    @property
    def synced(self) -> bool:
        """Whether the ConfigMap has been read, or is known not to exist."""
        return self._watch.synced

    @property
    def fault(self) -> str:
        """What is wrong with the ConfigMap or with following it, "" if nothing is."""
        if self._watch.fault is not None:
            return f"{self._watch.fault}; it needs a RoleBinding to Role {_ROLE} of {CONFIG_MAP_NAMESPACE}"
        if self._watch.synced and not self._watch.items:
            return MISSING
        return self._trust.fault


def _data(config_map: dict[str, Any]) -> Mapping[str, str]:
    return dict(config_map.get("data") or {})
