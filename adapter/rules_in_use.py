"""Keeps everything that depends on the rules in step with the files and with what was asked for."""

import asyncio
import logging

from adapter.api.app import App
from adapter.api.discovery import DiscoveryDocuments
from adapter.api.served import Served
from adapter.collector import Collector
from adapter.names.resolve import NameIndex
from adapter.rules.rule_set import RuleSet
from adapter.rules.watcher import RulesWatcher

logger = logging.getLogger(__name__)


class RulesInUse:
    """The rules that are collected and served."""

    def __init__(self, watcher: RulesWatcher, collector: Collector, served: Served) -> None:
        """Takes the files' present rules. Raises BadRules where they cannot be used from the start."""
        self._watcher = watcher
        self._collector = collector
        self._served = served
        self._app: App | None = None
        self._used: tuple[RuleSet, int] | None = None
        self._fault: str | None = None
        self._use(watcher.read(), now_ns=0)

    def tell(self, app: App) -> None:
        """Let this app's discovery follow."""
        self._app = app

    async def refresh(self, now_ns: int) -> None:
        """Look at the files, and at what requests have asked for."""
        rules = await asyncio.to_thread(self._watcher.read)
        if self._watcher.fault != self._fault:
            self._fault = self._watcher.fault
            if self._fault is not None:
                logger.error("rules not usable, keeping the last good ones: %s", self._fault)
        self._use(rules, now_ns)

    def _use(self, rules: RuleSet, now_ns: int) -> None:
        on_demand = self._served.on_demand
        asked = on_demand.rules(now_ns) if on_demand is not None else ()
        state = (rules, on_demand.generation if on_demand is not None else 0)
        if state == self._used:
            return
        if self._used is None or rules is not self._used[0]:
            self._served.names = NameIndex(rules.rules)
            if self._app is not None:
                self._app.discovery = discovery_of(rules)
            logger.info("rules in use: %d", len(rules))
        self._used = state
        self._collector.set_rules([*asked, *rules.rules])  # of one name the files' rule counts


def discovery_of(rules: RuleSet) -> DiscoveryDocuments:
    """What discovery shows: each name and alias for pods and for the objects that its rule maps."""
    metrics = [
        (resource, namespaced, name)
        for rule in rules
        for name in (rule.name, *rule.aliases)
        for resource, namespaced in (("pods", True), *((one.resource, one.namespaced) for one in rule.objects))
    ]
    return DiscoveryDocuments.of(metrics)
