"""Disclosure: declared recipients, labelled bodies, a guarded client."""

from .client import Answer, Disclosure
from .endpoint import Endpoint, endpoints
from .labelled import Constant, Labelled, constant, labelled

__all__ = ["Answer", "Constant", "Disclosure", "Endpoint", "Labelled", "constant", "endpoints", "labelled"]
