"""`/v1`: galleries, people, faces, photos, recognition, index, events, jobs, sessions, health."""

from .routes import gallery_routes, server_routes

__all__ = ["gallery_routes", "server_routes"]
