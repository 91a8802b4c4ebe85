"""`/v1`: galleries, people, faces, photos, recognition, index, events, jobs, sessions, health."""

from .routes import add_to, of_a_gallery

__all__ = ["add_to", "of_a_gallery"]
