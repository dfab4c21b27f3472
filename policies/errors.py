"""Errors that people can mend."""


class BadInput(ValueError):
    """What a person typed is wrong; the message names field, value, allowed range and remedy."""
