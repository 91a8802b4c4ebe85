"""Packs: find the manifest and the files of a pack by its name or path."""

from .find import PackLocation, built_in, find

__all__ = ["PackLocation", "built_in", "find"]
