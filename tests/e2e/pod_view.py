"""What a test says of a pod: whose it is, where it is, and how far its start has come."""

from dataclasses import dataclass
from typing import Self

from kube_api import Object

APP_LABEL = "app"  # the workload's name, on all its pods


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod. app: its workload. address, node: "" while it has none. container: the first one's name.

    created: creationTimestamp, RFC 3339, whole seconds. running: its containers run. ready: its condition Ready.
    """

    namespace: str
    name: str
    app: str
    address: str
    node: str
    container: str
    created: str
    running: bool
    ready: bool
    ending: bool

    @classmethod
    def of(cls, pod: Object) -> Self:
        metadata, status = pod["metadata"], pod.get("status", {})
        conditions = {entry["type"]: entry["status"] for entry in status.get("conditions", ())}
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            app=metadata.get("labels", {}).get(APP_LABEL, ""),
            address=status.get("podIP", ""),
            node=pod["spec"].get("nodeName", ""),
            container=pod["spec"]["containers"][0]["name"],
            created=metadata["creationTimestamp"],
            running=status.get("phase") == "Running",
            ready=conditions.get("Ready") == "True",
            ending="deletionTimestamp" in metadata,
        )

    @property
    def stage(self) -> str:
        """Where it stands: Pending, Loading (containers run, not Ready), Ready or Ending."""
        if self.ending:
            return "Ending"
        if not self.running:
            return "Pending"
        return "Ready" if self.ready else "Loading"

    @property
    def age_order(self) -> tuple[str, str]:
        """Sorts pods, the oldest first; of one second, by name."""
        return self.created, self.name
