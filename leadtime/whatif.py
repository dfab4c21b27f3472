"""`leadtime whatif`: what leadtime would have done with a service's past, beside what ran and what else there is."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from leadtime import scenario as options
from leadtime.frontier_progress import CountProgress
from leadtime.outcome import console_for_tables
from leadtime.output import check_writable, write_json, write_text
from leadtime.whatif_figures import document
from leadtime.whatif_inputs import DEFAULT_LEAD_SECONDS, OnProgress, Past, past_of_demand, past_of_service
from leadtime.whatif_policies import Beside, hpa_given, hpa_tuned, own_policies
from leadtime.whatif_words import assumptions, page_head, page_tail, print_answer
from policies.capacity.profile import Profile, profile_named
from policies.errors import BadInput
from simulations.counts.capacity import peak_replicas as peak_of
from simulations.counts.demand_counts import BIN_SECONDS
from simulations.counts.run import CountWorld
from simulations.counts.serving_curve import serving_curve
from simulations.history.service import SERVERS, ServerName, Service
from simulations.history.whatif import Question, answer, check_first_bin, default_first_bin, replicas_at_start
from simulations.report.whatif_page import whatif_html
from simulations.slo import SLO

_DAYS = 14.0
_MOST_TIMES_PEAK = 4


def whatif_command(
    *,
    demand: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            help="A recording (Azure or plain CSV, Mooncake JSONL; .gz too), ServeGen prefix, generator.",
        ),
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="Take the past from a Prometheus server.", show_default=False)
    ] = None,
    selector: Annotated[
        str, typer.Option(metavar="MATCHERS", help='Of the servers\' series: namespace="llm",model_name="m".')
    ] = "",
    server: Annotated[
        ServerName, typer.Option(help="Whose series they are: " + ", ".join(each.title for each in SERVERS.values()))
    ] = "vllm",
    deployment: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME", help="Whose ready replicas and pod start times are read.", show_default=False
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(metavar="PROMQL", help="Requests/s that arrived.", show_default="the servers' counters"),
    ] = None,
    prompt_query: Annotated[
        str | None, typer.Option(metavar="PROMQL", help="Prompt tokens/s.", show_default="the servers' counter")
    ] = None,
    output_query: Annotated[
        str | None, typer.Option(metavar="PROMQL", help="Generated tokens/s.", show_default="the servers' counter")
    ] = None,
    replicas_query: Annotated[
        str | None,
        typer.Option(metavar="PROMQL", help="Ready replicas that ran.", show_default="--deployment's, or servers"),
    ] = None,
    prompt_tokens: Annotated[float, typer.Option(help="Mean prompt, where Prometheus does not know it.")] = 512.0,
    output_tokens: Annotated[float, typer.Option(help="Mean answer, where Prometheus does not know it.")] = 128.0,
    days: Annotated[
        float | None, typer.Option(help="Prometheus: the last ones. PATH: the first ones.", show_default="14, or all")
    ] = None,
    judge_days: Annotated[
        float | None, typer.Option(help="At the end, judged.", show_default="7 of 14 or more, else half")
    ] = None,
    profile: options.ProfileOption = options.DEFAULT_PROFILE,
    slo_ttft: Annotated[
        float,
        typer.Option("--slo-ttft", "--ttft-slo-seconds", metavar="SECONDS", help="TTFT that users were promised."),
    ] = 2.0,
    slo_tpot: Annotated[
        float,
        typer.Option("--slo-tpot", "--tpot-slo-seconds", metavar="SECONDS", help="TPOT that users were promised."),
    ] = 0.075,
    attainment: Annotated[
        list[float] | None,
        typer.Option(
            "--attainment", help="Share of requests that is to meet the SLO. Repeat.", show_default="0.95 and 0.99"
        ),
    ] = None,
    lead_time: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="From asking for a pod to serving with it, median.",
            show_default=f"learned with --deployment, else {DEFAULT_LEAD_SECONDS:g}",
        ),
    ] = None,
    min_replicas: Annotated[int, typer.Option(help="minReplicas, but of a manifest.")] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(help="maxReplicas, but of a manifest.", show_default="4 times the peak's need")
    ] = None,
    hpa_manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your HPA (or KEDA, Knative), run beside.", show_default=False)
    ] = None,
    hpa: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:key=value",
            help="Or one of `leadtime policies`.",
            show_default="an HPA on total demand, tuned on the days before",
        ),
    ] = None,
    peak_replicas: Annotated[
        float, typer.Option(help="PATH: requests are thinned until the busiest 5 minutes need about so many.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn: lead times, tables, places within a minute.")] = 1,
    report: options.ReportOption = Path("leadtime-whatif.html"),
    json: options.JsonOption = None,
) -> None:
    """What leadtime would have done with your last two weeks: attainment and GPU-hours beside what ran, and why."""
    if (demand is None) == (prometheus is None):
        raise BadInput("PATH and --prometheus: one of the two must be given; a recording, or a server's address")
    if hpa is not None and hpa_manifest is not None:
        raise BadInput("--hpa and --hpa-manifest: both were given, must be one of the two; leave one out")
    for name, value, low, high in (
        ("days", days, 0.05, 400.0),
        ("judge-days", judge_days, 0.01, 400.0),
        ("prompt-tokens", prompt_tokens, 1.0, 1e6),
        ("output-tokens", output_tokens, 1.0, 1e6),
        ("slo-ttft", slo_ttft, 0.001, 3_600.0),
        ("slo-tpot", slo_tpot, 0.001, 3_600.0),
        ("lead-time", lead_time, 1.0, 7_200.0),
        ("min-replicas", min_replicas, 1, 100_000),
        ("max-replicas", max_replicas, min_replicas, 100_000),
        ("peak-replicas", peak_replicas, 1.0, 10_000.0),
        ("seed", seed, 0, 2**32 - 1),
    ):
        options.in_range(name, value, low, high)
    asked = sorted(set(attainment or [0.95, 0.99]))
    for share in asked:
        options.in_range("attainment", share, 0.5, 0.9999)
    model, slo = profile_named(profile), SLO(ttft_seconds=slo_ttft, tpot_seconds=slo_tpot)
    for option, path in (("--report", report), ("--json", json)):
        if path is not None:
            check_writable(option, path)
    console = console_for_tables()
    with CountProgress() as progress:

        def follow(what: str, share: float) -> None:
            progress.update("whatif", what, share, 1.0)

        if demand is not None:
            past = past_of_demand(
                demand,
                model,
                slo,
                days=days,
                lead_seconds=lead_time,
                peak_replicas=peak_replicas,
                seed=seed,
                on_progress=follow,
            )
        else:
            assert prometheus is not None
            service = Service(
                url=prometheus,
                server=server,
                selector=selector,
                query=query,
                prompt_query=prompt_query,
                output_query=output_query,
                replicas_query=replicas_query,
                deployment=_deployment(deployment),
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
            )
            past = past_of_service(
                service,
                slo,
                days=_DAYS if days is None else days,
                lead_seconds=lead_time,
                seed=seed,
                on_progress=follow,
            )
        bins = past.counts.bins
        first_bin = default_first_bin(bins) if judge_days is None else bins - round(judge_days * 86_400 / BIN_SECONDS)
        check_first_bin(first_bin, bins, past.counts.name)
        question, beside, notes = _question(
            past, model, slo, asked, first_bin, (min_replicas, max_replicas), hpa_manifest, hpa, seed, follow
        )
        found = answer(question, follow)
        measured = None if past.measured is None else past.measured(first_bin)
    figures = document(found, notes, past.repairs, measured)
    figures["warnings"] = list(past.warnings)
    figures["tuning"] = [asdict(trial) for trial in beside.trials]
    said = assumptions(found, notes, figures, measured)
    write_text(
        report, whatif_html("leadtime: what it would have done", page_head(figures, said), found, page_tail(figures))
    )
    if json is not None:
        write_json(json, {**figures, "assumptions": said})
    print_answer(console, figures, said)
    for name, path in (("report", report), ("json", json)):
        if path is not None:
            console.print(f"{name}: {path}", highlight=False, soft_wrap=True)


def _deployment(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name or '"' in text:
        raise BadInput(f"--deployment: was {text}, must be NAMESPACE/NAME, such as llm/vllm-llama")
    return namespace, name


def _question(
    past: Past,
    model: Profile,
    slo: SLO,
    asked: Sequence[float],
    first_bin: int,
    replicas: tuple[int, int | None],
    hpa_manifest: Path | None,
    hpa: str | None,
    seed: int,
    follow: OnProgress,
) -> tuple[Question, Beside, list[str]]:
    """Everything that is run, the HPA of it, and what was assumed."""
    counts = past.counts
    peak = peak_of(counts, model, slo.tpot_seconds)
    bounds = (replicas[0], max(replicas[0], replicas[1] or int(np.ceil(_MOST_TIMES_PEAK * peak))))
    given = hpa_given(hpa_manifest, hpa, model, slo, bounds)
    follow("measuring how servers of this profile do with these requests", 0.0)
    world = CountWorld(
        counts=counts,
        profile=model,
        slo=slo,
        curve=serving_curve(counts, model, slo),
        lead_time=past.lead_time,
        seed=seed,
    )
    world = replace(world, initial_replicas=replicas_at_start(world, bounds))
    beside = given or hpa_tuned(asked, world, first_bin, past.known, bounds, follow)
    question = Question(
        world=world,
        own={},
        rivals=beside.rivals,
        first_bin=first_bin,
        known=past.known,
        max_replicas=bounds[1],
        ready_replicas=past.ready_replicas,
    )
    own = own_policies(asked, model, slo, lead_seconds=question.lead_seconds, replicas=bounds)
    more = f"maxReplicas: {bounds[1]}" + ("" if replicas[1] else f", 4 times what the peak needs ({peak:.1f})")
    return replace(question, own=own), beside, [*past.notes, beside.said, more]
