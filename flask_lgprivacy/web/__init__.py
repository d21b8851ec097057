"""Blueprints with which people exercise their rights."""

from .consents import add_consents
from .grants import add_grants
from .rights import rights_blueprint

__all__ = ["add_consents", "add_grants", "rights_blueprint"]
