"""A rule's value as PromQL, for people: what is worked out of a pod's page."""

from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Share, Total, Value


def describe(value: Value) -> str:
    """`A or B`: B counts where a page has no A."""
    match value:
        case Latest(series):
            return _either(series)
        case Rate(series, window_seconds):
            return _either(tuple(f"rate({name}[{window_seconds}s])" for name in series))
        case Ratio(numerator, denominator, window_seconds):
            above = _either(tuple(f"increase({name}[{window_seconds}s])" for name in numerator))
            below = _either(tuple(f"increase({name}[{window_seconds}s])" for name in denominator))
            return f"({above}) / ({below})"
        case Quantile(histogram, quantile, window_seconds):
            return _either(
                tuple(f"histogram_quantile({quantile:g}, rate({name}_bucket[{window_seconds}s]))" for name in histogram)
            )
        case Share(histogram, above, window_seconds):
            rates = (f"rate({name}_bucket[{window_seconds}s])" for name in histogram)
            return _either(tuple(f"histogram_fraction({above:g}, +Inf, {rate})" for rate in rates))
        case Total(parts):
            return " + ".join(f"({_either(part)})" if len(part) > 1 else part[0] for part in parts)


def _either(terms: tuple[str, ...]) -> str:
    return " or ".join(terms)
