"""What is known of pods' metrics pages, for `explain`: who named them, and how their last scrapes went."""

from collections.abc import Iterable, Sequence

from adapter.inventory import Inventory
from adapter.sources.scrape_source import ScrapeSource
from adapter.sources.series import PodKey
from adapter.sources.source import Source


class PodPages:
    """The pages that discovery has found, beside what the scrapes of them gave."""

    def __init__(self, inventory: Inventory, sources: Iterable[Source]) -> None:
        self._inventory = inventory
        self._scrapes = [source for source in sources if isinstance(source, ScrapeSource)]

    def of(self, pods: Sequence[PodKey]) -> list[dict[str, object]]:
        """One entry a pod, in their order: ready, who named its pages, what of that could not be followed, and for
        each page whether its last scrape succeeded and if not, why. Nothing where no source scrapes."""
        if not self._scrapes:
            return []
        wanted = set(pods)
        health = {url: one for scrape in self._scrapes for url, one in scrape.health().items()}
        pages: dict[PodKey, list[dict[str, object]]] = {}
        for target in self._inventory.targets().targets:
            if target.owner is not None and target.owner in wanted:
                state = health.get(target.url)
                pages.setdefault(target.owner, []).append(
                    {
                        "url": target.url,
                        "up": state.up if state is not None else None,
                        "error": state.message if state is not None else "not scraped yet",
                    }
                )
        return [self._entry(pod, pages.get(pod, [])) for pod in pods]

    def _entry(self, pod: PodKey, pages: list[dict[str, object]]) -> dict[str, object]:
        info = self._inventory.pods().get(pod)
        found_by, notes = self._inventory.found_by(pod)
        return {
            "pod": pod.name,
            "ready": info.ready if info is not None else None,
            "foundBy": found_by,
            "notes": list(notes),
            "pages": pages,
        }
