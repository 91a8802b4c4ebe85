"""The exceptions of the build; each message is one line with the error and its remedy."""

from __future__ import annotations


class BuildError(Exception):
    """The weights cannot be made; the message is one line and names the remedy."""


class FetchError(BuildError):
    """The sources of the weights cannot be fetched now."""
