"""Rights of data subjects: requests, export, rectification, erasure and consents."""

from .background import Background
from .consents import Consent, Consents
from .ledger import Request, RequestLedger, Step
from .service import Rights

__all__ = ["Background", "Consent", "Consents", "Request", "RequestLedger", "Rights", "Step"]
