"""A MetricExplanation for people to read."""

from collections.abc import Mapping, Sequence
from typing import Any


def as_text(answer: Mapping[str, Any]) -> str:
    """The rule, its sources, and one line for each series."""
    rule = answer["rule"]
    lines = [
        f"{answer['metric']} in namespace {answer['namespace'] or '(cluster)'}",
        f"  rule      {rule['name']} ({rule['definedAt']}), {rule['unit'] or 'no unit'}",
        f"  made of   {rule['value']}",
        f"  combined  series of a pod: {rule['reducer']}, pods of an object: {rule['across']}",
        f"  max age   {rule['maxAgeSeconds']:g} s, then {rule['whenStale']}; loading pods: {rule['whileLoading']}",
    ]
    for source in answer["sources"]:
        lines += _source(source)
    if answer["problem"]:
        lines.append(f"  problem   {answer['problem']}")
    samples = answer["samples"]
    if samples:
        lines += ["", *_table(samples)]
    lines += [line for pod in answer["podsWithoutSeries"] for line in _pod(pod)]
    if answer["series"] > len(samples):
        lines.append(f"({answer['series'] - len(samples)} more)")
    return "\n".join(lines)


def _source(source: Mapping[str, Any]) -> list[str]:
    state = "in use" if source["inUse"] else "standing by"
    success = f"last success {source['lastSuccess']}" if source["lastSuccess"] else "no success yet"
    lines = [f"  source    {source['name']}: {state}, {success}"]
    if source["query"]:
        lines.append(f"            asks {source['query']}")
    if source["error"]:
        lines.append(f"            error: {source['error']}")
    return lines


def _pod(pod: Mapping[str, Any]) -> list[str]:
    """A pod that has no series at all, and what is known of its pages."""
    ready = {True: "Ready", False: "not Ready", None: "readiness unknown"}[pod["ready"]]
    named = f"page named by {pod['foundBy']}" if pod["foundBy"] else "nothing names a metrics page of it"
    lines = [f"pod {pod['pod']}: no series; {ready}; {named}"]
    for page in pod["pages"]:
        state = "scraped" if page["up"] else page["error"] or "not scraped yet"
        lines.append(f"    {page['url']}: {state}")
    return [*lines, *(f"    note: {note}" for note in pod["notes"])]


def _table(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [("POD", "VALUE", "AGE", "STATE", "WHY, LABELS")]
    for one in samples:
        shown = {key: value for key, value in one["labels"].items() if key not in ("pod", "namespace")}
        labels = ",".join(f"{key}={value}" for key, value in sorted(shown.items()))
        value = "-" if one["value"] is None else f"{one['value']:g}"
        why = f"{one['why']}; " if one["why"] else ""
        rows.append((one["pod"] or "-", value, f"{one['ageSeconds']:g}s", one["state"], f"{why}{labels}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]).rstrip()
        for row in rows
    ]
