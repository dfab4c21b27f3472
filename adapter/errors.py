"""Errors an operator can correct."""


class BadInput(ValueError):
    """A setting or file that cannot be used: names the field, the value, what is allowed and the remedy.

    A retry does not help until the input is changed.
    """
