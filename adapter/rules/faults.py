"""What is raised of files of rules."""

from adapter.errors import BadInput


class BadRules(BadInput):
    """Files of rules that cannot be used: one line for each fault, each with its file and line."""
