"""Which series of a backend's answer are about a GPU that no single pod has to itself."""

from collections.abc import Collection, Mapping, Sequence

from adapter.sources.attribution import attribute
from adapter.sources.series import PodKey
from adapter.sources.series_cache import LabelSet
from adapter.sources.targets import Target

_EXPORTER = Target(url="", role="exporter", owner=None)


def why_not_attributable(
    label_sets: Sequence[Mapping[str, str]], *, name: str, pods: Collection[PodKey]
) -> Mapping[int, str]:
    """Index of a label set -> why its pod has no value of its own; those that have one are left out.

    label_sets: of all series of one metric, with the pod in `pod` and `namespace` or in `exported_*`: whether a GPU
    is shared shows only in its other users' series. name: the metric's, as the exporter spells it.
    """
    gpus = {index: LabelSet(tuple(labels.items())) for index, labels in enumerate(label_sets) if labels.get("UUID")}
    owners = attribute(gpus.values(), target=_EXPORTER, pods=pods)
    whys = {index: owners[one].why_not_attributable(name) for index, one in gpus.items() if one in owners}
    return {index: why for index, why in whys.items() if why}
