"""An instant on the wire."""

from datetime import UTC, datetime

from adapter.sources.series import NS_PER_SECOND


def timestamp(at_ns: int) -> str:
    """RFC 3339, UTC, whole seconds, rounded down: metav1.Time carries no fraction."""
    return datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
