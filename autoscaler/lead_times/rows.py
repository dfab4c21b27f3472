"""What is written to the file and read from it. Every function is one transaction and raises sqlite3.Error."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from autoscaler.cluster import Key
from autoscaler.lead_times.lead_time import ImageKind, LeadTime, NodeKind, Path, Steps
from autoscaler.lead_times.minutes import F4, HOUR_NS, from_blob, overlaid, samples_of, to_blob
from policies.predictive.backfill import Samples
from policies.snapshot import NS_PER_SECOND

_DAY_NS = 86_400 * NS_PER_SECOND
LEAD_TIME_DAYS = 90
LEAD_TIMES_KEPT = 200
"""Of a workload and a path: four times what is used, so that a look back has something to look at."""
LOAD_DAYS = 14
"""As long as a policy's own history (policies/predictive/load_history.py)."""
_MOST_WORKLOADS = 1 << 24

_PATH = "node = ? AND image = ? AND spot = ? AND is_returning = ?"


@dataclass(slots=True)
class Batch:
    """What is not written yet. hours: (workload, hour since the epoch) -> means of its minutes. learned: workload ->
    when, and what (policies/combined/learned_json.py)."""

    lead_times: list[tuple[Key, LeadTime]] = field(default_factory=list)
    hours: dict[tuple[Key, int], F4] = field(default_factory=dict)
    learned: dict[Key, tuple[int, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lead_times or self.hours or self.learned)


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """All or nothing."""
    with connection:
        keys = {key for key, _ in batch.lead_times} | {key for key, _ in batch.hours} | batch.learned.keys()
        ids = _ids(connection, keys)
        for key, lead_time in batch.lead_times:
            _write_lead_time(connection, ids[key], lead_time)
        for (key, hour), means in batch.hours.items():
            place = _place(hour, ids[key])
            found = connection.execute("SELECT minutes FROM load_hour WHERE id = ?", (place,)).fetchone()
            merged = means if found is None else overlaid(from_blob(found[0]), means)
            connection.execute("INSERT OR REPLACE INTO load_hour VALUES (?, ?)", (place, to_blob(merged)))
        for key, (at_ns, text) in batch.learned.items():
            connection.execute("INSERT OR REPLACE INTO learned VALUES (?, ?, ?)", (ids[key], at_ns, text))


def read_lead_times(connection: sqlite3.Connection) -> dict[Key, list[LeadTime]]:
    """All of them."""
    rows = connection.execute(
        "SELECT namespace, name, pod_uid, pod, created_ns, node, image, spot, is_returning, ask_seconds, node_seconds,"
        " pull_seconds, start_seconds, load_seconds, zone, ordinal, revision"
        " FROM lead_time JOIN workload ON workload.id = workload ORDER BY created_ns"
    )
    found: dict[Key, list[LeadTime]] = {}
    for namespace, name, uid, pod, created_ns, node, image, spot, returning, *steps, zone, ordinal, revision in rows:
        ask, wait, pull, start, load = steps
        lead_time = LeadTime(
            pod_uid=uid,
            pod=pod,
            created_ns=created_ns,
            steps=Steps(ask_seconds=ask, node_seconds=wait, pull_seconds=pull, start_seconds=start, load_seconds=load),
            path=Path(
                node=cast(NodeKind, node), image=cast(ImageKind, image), spot=bool(spot), returning=bool(returning)
            ),
            zone=zone,
            ordinal=ordinal,
            revision=revision,
        )
        found.setdefault(Key(namespace, name), []).append(lead_time)
    return found


def read_load(
    connection: sqlite3.Connection, key: Key, *, since_ns: int, until_ns: int, unwritten: Mapping[int, F4]
) -> Samples:
    """One workload's demand. unwritten: hours that go before what the file has of them."""
    hours: dict[int, F4] = {}
    workload = connection.execute(
        "SELECT id FROM workload WHERE namespace = ? AND name = ?", (key.namespace, key.name)
    ).fetchone()
    if workload is not None:
        asked = range(since_ns // HOUR_NS, until_ns // HOUR_NS + 1)
        marks = ",".join("?" * len(asked))
        places = [_place(hour, workload[0]) for hour in asked]
        rows = connection.execute(f"SELECT id, minutes FROM load_hour WHERE id IN ({marks})", places)  # noqa: S608
        hours = {place // _MOST_WORKLOADS: from_blob(blob) for place, blob in rows}
    for hour, means in unwritten.items():
        hours[hour] = overlaid(hours[hour], means) if hour in hours else means
    return samples_of(sorted(hours.items(), key=lambda item: item[0]), since_ns=since_ns, until_ns=until_ns)


def read_learned(connection: sqlite3.Connection, key: Key) -> str:
    """ "" where nothing is kept of the workload."""
    found = connection.execute(
        "SELECT json FROM learned JOIN workload ON workload.id = workload WHERE namespace = ? AND name = ?",
        (key.namespace, key.name),
    ).fetchone()
    return "" if found is None else str(found[0])


def prune(connection: sqlite3.Connection, now_ns: int) -> None:
    """Leave out what is older than it is of use."""
    with connection:
        oldest = _place((now_ns - LOAD_DAYS * _DAY_NS) // HOUR_NS, 0)
        connection.execute("DELETE FROM load_hour WHERE id < ?", (oldest,))
        connection.execute("DELETE FROM lead_time WHERE created_ns < ?", (now_ns - LEAD_TIME_DAYS * _DAY_NS,))
        connection.execute("DELETE FROM learned WHERE at_ns < ?", (now_ns - LOAD_DAYS * _DAY_NS,))


def _write_lead_time(connection: sqlite3.Connection, workload: int, lead_time: LeadTime) -> None:
    steps, path = lead_time.steps, lead_time.path
    path_values = (path.node, path.image, path.spot, path.returning)
    connection.execute(
        "INSERT OR REPLACE INTO lead_time VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            workload,
            lead_time.pod_uid,
            lead_time.pod,
            lead_time.created_ns,
            *path_values,
            steps.ask_seconds,
            steps.node_seconds,
            steps.pull_seconds,
            steps.start_seconds,
            steps.load_seconds,
            lead_time.zone,
            lead_time.ordinal,
            lead_time.revision,
        ),
    )
    connection.execute(
        f"DELETE FROM lead_time WHERE workload = ? AND {_PATH} AND pod_uid NOT IN (SELECT pod_uid FROM lead_time"  # noqa: S608
        f" WHERE workload = ? AND {_PATH} ORDER BY created_ns DESC LIMIT {LEAD_TIMES_KEPT})",
        (workload, *path_values, workload, *path_values),
    )


def _ids(connection: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, int]:
    """Of the workloads, given where one has none."""
    found = {}
    for key in keys:
        names: Sequence[str] = (key.namespace, key.name)
        connection.execute("INSERT OR IGNORE INTO workload (namespace, name) VALUES (?, ?)", names)
        found[key] = connection.execute("SELECT id FROM workload WHERE namespace = ? AND name = ?", names).fetchone()[0]
    return found


def _place(hour: int, workload: int) -> int:
    """A row's id: hour first, so that new rows come last and fill pages whole; one workload's are found one by one."""
    return hour * _MOST_WORKLOADS + workload
