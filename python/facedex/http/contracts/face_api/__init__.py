"""Contract `face-api`: accounts, people with ids of the client, embeddings, queries; cosines of ArcFace R18."""

from .routes import SETTINGS, SHAPES, router

__all__ = ["SETTINGS", "SHAPES", "router"]
