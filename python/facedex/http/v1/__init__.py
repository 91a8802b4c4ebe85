"""`/v1`: galleries, people, faces, photos, recognition, index, events, jobs, sessions, health."""

from .routes import everything, of_a_gallery

__all__ = ["everything", "of_a_gallery"]
