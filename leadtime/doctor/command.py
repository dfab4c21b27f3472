"""`leadtime doctor`: the command line."""

import asyncio
import json as json_text
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import aiohttp
import typer

from adapter.sources.kubernetes.configuration import BadKubeconfig
from leadtime.cluster_access import ContextOption, KubeconfigOption, connected
from leadtime.doctor.bounds import check_bounds, check_pools
from leadtime.doctor.cluster import gather
from leadtime.doctor.conflicts import check_conflicts
from leadtime.doctor.finding import Finding
from leadtime.doctor.gathered import Clocks, Gathered
from leadtime.doctor.installation import check_installation
from leadtime.doctor.manifests import gather_manifests
from leadtime.doctor.probes import check_probes
from leadtime.doctor.rights import check_rights
from leadtime.doctor.server_clock import server_clock
from leadtime.doctor.specs import check_metrics, check_metrics_apis, check_specs

CHECKS: tuple[Callable[[Gathered], Iterator[Finding]], ...] = (
    check_installation,
    check_rights,
    check_specs,
    check_conflicts,
    check_bounds,
    check_pools,
    check_probes,
    check_metrics_apis,
    check_metrics,
)
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def doctor_command(
    *,
    manifests: Annotated[
        list[Path] | None,
        typer.Option("--manifests", help="Check these files and folders instead of a cluster; may be repeated."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Only objects of this namespace; default: all.")
    ] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="All findings, for programs.")] = False,
) -> None:
    """What would keep the controller from its work, each with what to do about it; exit code 1 when a check fails.

    Reads with your own rights and writes nothing; to ask for the controller's rights it creates
    SubjectAccessReviews, which are not kept.
    """
    gathered = gather_manifests(manifests) if manifests else asyncio.run(_gather(namespace, kubeconfig, context))
    findings = examine(gathered)
    if as_json:
        typer.echo(json_text.dumps({"findings": [asdict(each) for each in findings]}, indent=2))
    else:
        typer.echo(as_text(findings))
    if any(each.level == "fail" for each in findings):
        raise typer.Exit(1)


def examine(gathered: Gathered) -> tuple[Finding, ...]:
    """All checks, in the order in which one would mend things."""
    return tuple(finding for check in CHECKS for finding in check(gathered))


def as_text(findings: Sequence[Finding]) -> str:
    lines = []
    for each in findings:
        lines.append(f"{_MARKS[each.level]}  {each.check:<10}  {each.what}")
        if each.remedy:
            lines.append(f"                  remedy: {each.remedy}")
    failed, warned = (sum(each.level == level for each in findings) for level in ("fail", "warn"))
    lines.append(f"{len(findings)} findings: {failed} failed, {warned} warned")
    return "\n".join(lines)


async def _gather(namespace: str | None, kubeconfig: Path | None, context: str | None) -> Gathered:
    async with connected(kubeconfig, context) as client:
        return await gather(client, namespace, await _clocks(kubeconfig, context))


async def _clocks(kubeconfig: Path | None, context: str | None) -> Clocks | None:
    try:
        return await server_clock(kubeconfig, context)
    except (aiohttp.ClientError, OSError, TimeoutError, BadKubeconfig):
        return None  # if the cluster is away, the first request says so
