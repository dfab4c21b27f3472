"""How to reach the API server: in the cluster by the pod's service account, elsewhere by a kubeconfig."""

import os
from collections.abc import Mapping
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from yaml import YAMLError


class BadKubeconfig(ValueError):
    """No configuration, or one that cannot be used. A retry does not help."""


async def load_configuration(
    kubeconfig: Path | None = None, context: str | None = None, *, environ: Mapping[str, str] = os.environ
) -> Configuration:
    """The configuration to use: the file given, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    The order is controller-runtime's (pkg/client/config/config.go). Tokens of a service account are read anew
    every minute by the library; exec plugins and OIDC refreshes run here, so load again when a token expires.

    Raises BadKubeconfig.
    """
    files = _kubeconfig_files(kubeconfig, environ)
    configuration = Configuration()
    try:
        if files is None and environ.get("KUBERNETES_SERVICE_HOST"):
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            files = files or _home_kubeconfig()
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=files, context=context, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, YAMLError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadKubeconfig):
            raise
        # TypeError: the library looks for `client-certificate` in a user that the context does not name.
        where = f"kubeconfig {files}" if files else "the pod's service account"
        raise BadKubeconfig(f"{where}: was not usable ({error}); correct it, or name another by kubeconfig") from error
    # Python 3.13 refuses CAs without key identifiers by default; EKS' and other clusters' have none
    # (kubernetes-client/python issue 2394). The chain and the host name are verified all the same.
    configuration.disable_strict_ssl_verification = True
    # Every watch holds a connection: the library's limit of 100 would let watches of many namespaces starve requests.
    configuration.connection_pool_maxsize = 0
    return configuration


def _kubeconfig_files(kubeconfig: Path | None, environ: Mapping[str, str]) -> str | None:
    """One path or several joined by `:`, or None where none is named."""
    if kubeconfig is not None:
        if not kubeconfig.is_file():
            raise BadKubeconfig(f"kubeconfig: was {str(kubeconfig)!r}, must be a readable file; correct the path")
        return str(kubeconfig)
    named = [path for path in environ.get("KUBECONFIG", "").split(os.pathsep) if path and Path(path).is_file()]
    return os.pathsep.join(named) or None


def _home_kubeconfig() -> str:
    path = Path.home() / ".kube" / "config"
    if not path.is_file():
        raise BadKubeconfig(
            "kubeconfig: was not set, and there is no $KUBECONFIG, no ~/.kube/config and no service account; "
            "run in a cluster, or name a file by kubeconfig"
        )
    return str(path)
