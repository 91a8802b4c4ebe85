"""People in a database: register, recognize, verify and delete them, with photos, audit, migration and checks."""

from .gallery import Gallery as Gallery
