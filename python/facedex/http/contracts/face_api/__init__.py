"""Contract `face-api`: accounts, people with a client's own ids, embeddings, queries; cosines of ArcFace R18."""

from .routes import SHAPES, router

__all__ = ["SHAPES", "router"]
