"""The hook that PyInstaller finds by the entry point ``pyinstaller40`` and runs for applications that use facedex."""

from __future__ import annotations

from pathlib import Path


def hook_folders() -> list[str]:
    """Return the folder of the hook, as PyInstaller calls for."""
    return [str(Path(__file__).parent)]
