"""The blueprint with which people exercise their rights."""

from .rights import rights_blueprint

__all__ = ["rights_blueprint"]
