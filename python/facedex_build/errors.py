"""The exceptions of the build: a line that says what is wrong and what to do about it."""

from __future__ import annotations


class BuildError(Exception):
    """The weights cannot be made; the message is one line and names the remedy."""


class FetchError(BuildError):
    """What the weights are made of cannot be fetched here and now."""
