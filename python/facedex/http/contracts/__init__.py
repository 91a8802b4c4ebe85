"""The HTTP contracts of five older backends: routers over the same gallery as `/v1`."""

from .mount import CONTRACTS, add_contracts

__all__ = ["CONTRACTS", "add_contracts"]
