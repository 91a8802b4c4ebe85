"""The command line: the verbs of a gallery and an engine, as tables for people and as JSON for programs."""

from .app import app, main

__all__ = ["app", "main"]
