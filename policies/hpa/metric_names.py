"""What the controller calls a metric in its conditions, events and errors.

Source: pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetric, computeStatusFor...Metric),
v1.36.3.
"""

from policies.hpa.spec import MetricSpec


def described(metric: MetricSpec) -> str:
    """The metric as upstream's rescale reason gives it."""
    if metric.type == "Pods":
        return f"pods metric {metric.name}"
    if metric.type == "Object" and metric.used_target == "Value":
        return f"{metric.object_name.partition('/')[0]} metric {metric.name}"
    if metric.type in {"Object", "External"}:
        return f"external metric {metric.name}({_label_selector(metric.selector)})"
    if metric.average_value_milli is not None:
        return f"{metric.name} resource"
    container = "container " if metric.type == "ContainerResource" else ""
    return f"{metric.name} {container}resource utilization (percentage of request)"


def _label_selector(selector: tuple[tuple[str, str], ...]) -> str:
    """`%+v` of a *metav1.LabelSelector."""
    if not selector:
        return "nil"
    labels = "".join(f"{label}: {value}," for label, value in selector)
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{}},}}"
    )


def failure(metric: MetricSpec) -> str:
    """The start of upstream's error for a metric that gave no replica count."""
    if metric.type in {"Object", "Pods"}:
        return f"failed to get {metric.type.lower()} metric value"
    if metric.type == "ContainerResource":
        return f"failed to get {metric.container} container metric value"
    kind = "resource" if metric.type == "Resource" else "external"
    return f"failed to get {metric.name} {kind} metric value"
