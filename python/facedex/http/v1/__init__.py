"""`/v1`: galleries, people, faces, photos, recognition, index, events, jobs, sessions, health."""

from .routes import of_a_gallery, of_a_server

__all__ = ["of_a_gallery", "of_a_server"]
