"""Permissions: grants, requests for assistance and consents."""

from .grant_service import GrantService
from .grants import AssistanceRequest, EmergencyNotice, Grant, GrantScope, GrantUse, Notifier
from .workflows import GrantProposal, GrantWorkflow

__all__ = [
    "AssistanceRequest",
    "EmergencyNotice",
    "Grant",
    "GrantProposal",
    "GrantScope",
    "GrantService",
    "GrantUse",
    "GrantWorkflow",
    "Notifier",
]
