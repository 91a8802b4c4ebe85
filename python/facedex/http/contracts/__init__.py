"""The HTTP contracts of five older backends: thin routers over the same people, faces and gallery as `/v1`."""

from .mount import CONTRACTS, add_contracts

__all__ = ["CONTRACTS", "add_contracts"]
