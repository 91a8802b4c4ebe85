"""Contract `flask-face`: users, photos, explicit "training", 1:N prediction, 1:1 login; cosines of buffalo_l."""

from .answers import SHAPES
from .routes import router

__all__ = ["SHAPES", "router"]
