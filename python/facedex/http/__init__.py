"""The server: `/v1`, the contracts of older backends, sign-in and a page; ``pip install 'facedex[server]'``."""

from .app import create_app, router
from .settings import Settings

__all__ = ["Settings", "create_app", "router"]
