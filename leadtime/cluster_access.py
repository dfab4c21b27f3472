"""The user's own way into a cluster, for commands that read there."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

import typer

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.kubernetes.client import KubeClient
from adapter.sources.kubernetes.configuration import BadKubeconfig
from policies.errors import BadInput

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the object.")]
KubeconfigOption = Annotated[Path | None, typer.Option(help="Default: as kubectl's.")]
ContextOption = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path | None, context: str | None) -> AsyncGenerator[KubeClient]:
    """A client with the user's rights. BadInput: no usable kubeconfig, or a request failed and nobody handled it."""
    try:
        client = await KubeClient.connect(kubeconfig, context)
    except BadKubeconfig as error:
        raise BadInput(str(error)) from error
    try:
        yield client
    except ApiError as error:
        raise BadInput(f"{error}{remedy(error)}") from error
    finally:
        await client.close()


def remedy(error: ApiError) -> str:
    """What to do about a failed request, as a part of a sentence; "" where its message says all."""
    if error.status == 403:
        return "; ask for the right, or choose another context by --context"
    if error.status == 401:
        return "; log in anew, or choose another context by --context"
    if error.status == 0:
        return "; look at the cluster's address in the kubeconfig, or choose another context by --context"
    return ""
