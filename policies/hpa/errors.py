"""Why no replica count can be computed from one metric."""


class NoReplicaCount(Exception):
    """One metric gives no replica count now; the message is the controller's. The next sync tries again."""
