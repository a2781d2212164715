"""The one exception that reaches a person: unusable input, told in a sentence."""


class PortError(Exception):
    """Input that cannot be used; its text is one clear sentence, and the command exits with status 2."""
