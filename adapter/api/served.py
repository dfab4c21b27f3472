"""What the values' requests read: the store, and how names, places and tenants are understood."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from adapter.api.selector import BadSelector
from adapter.api.status import StatusError
from adapter.names.on_demand import OnDemand
from adapter.names.resolve import NameIndex, Resolved, view_of
from adapter.names.selectors import Api, MetricSelector, metric_selector
from adapter.names.view import Place
from adapter.sources.rule import Rule
from adapter.store import Store, Table

NO_RULE = "no rule has this name; `leadtime adapter rules list` prints those there are"
"""Why there is nothing under a name: usually it is misspelled, and an HPA's status shows this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and the instant until which it stays true if no table and no pod changes.

    table: what it was made from.
    """

    body: Mapping[str, object]
    until_ns: int
    table: Table


@dataclass(slots=True, kw_only=True)
class Served:
    """Everything that answers are made from. names changes when the rules do.

    why_empty: for a rule without series: why its sources gave none, and whether they may yet.
    source_fault: for a table: why its source cannot be had at present, "" if it can.
    may_read: namespace -> further namespaces whose series it may read as External metrics; "*" for all.
    on_demand: takes the names that no rule has, where Cloud Monitoring is a source.
    """

    store: Store
    names: NameIndex
    place: Place
    why_empty: Callable[[Rule], tuple[str, bool]]
    source_fault: Callable[[Table], str] = lambda _: ""
    may_read: Mapping[str, Collection[str]] = field(default_factory=dict)
    on_demand: OnDemand | None = None

    def resolve(self, name: str, selector: str, *, api: Api, now_ns: int) -> tuple[Resolved, MetricSelector] | None:
        """The rule of a name and what the selector asks of its series; None where nobody here has the name.

        Raises StatusError BadRequest where the name does not allow the selector.
        """
        resolved = self.names.custom(name) if api == "custom" else self.names.external(name)
        view = resolved.view if resolved is not None else view_of(name)
        try:
            chosen = metric_selector(selector, view=view, api=api)
        except BadSelector as error:
            raise StatusError("BadRequest", str(error)) from error
        if resolved is None and self.on_demand is not None:
            rule = self.on_demand.ask(name, now_ns, reducer=chosen.reducer)
            resolved = Resolved(rule, view) if rule is not None else None
        return (resolved, chosen) if resolved is not None else None

    def table(self, rule: Rule, not_found: str) -> Table:
        """The rule's table, which has series.

        Raises StatusError where there are none: 503 while its sources cannot be asked, 404 if they gave nothing.
        """
        table = self.store.table(rule.name)
        if table is None or not table.series:
            why, may_come = self.why_empty(rule)
            raise StatusError("ServiceUnavailable" if may_come else "NotFound", f"{not_found}: {why}")
        return table

    def readable(self, namespace: str, rule: Rule) -> Collection[str]:
        """Namespaces whose series this namespace may read of this rule; {"*"} for all.

        Series of no namespace ("") belong to the cluster's admin, who chose them by a rule: all may read them.
        """
        allowed = {"", *self.may_read.get(namespace, ()), *self.may_read.get("*", ())}
        if namespace in rule.visible_to or "*" in rule.visible_to or "*" in allowed:
            return {"*"}
        return allowed | ({namespace} - {"*"})  # which a path may well name
