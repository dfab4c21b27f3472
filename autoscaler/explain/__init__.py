"""Why, at any moment: status, Events, metrics, and a log of decisions that can be replayed."""
