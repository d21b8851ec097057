"""Rights of data subjects: requests, export, rectification, erasure and consents."""

from .consents import Consents
from .ledger import Request, RequestLedger, Step
from .service import Rights

__all__ = ["Consents", "Request", "RequestLedger", "Rights", "Step"]
