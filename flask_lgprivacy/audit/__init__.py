"""The audit trail: event types, the chain, its writer, its verifier and its reader."""

from .events import (
    Access,
    DisclosureEvent,
    Event,
    KeyOperationEvent,
    PermissionEvent,
    ProcessingEvent,
    RecoveryEvent,
    Refusal,
    RefusalCountEvent,
    RightsRequestEvent,
)
from .file_trail import FileAuditTrail
from .reader import filter_events, read_trail
from .trail import AuditTrail, Receipt
from .verifier import Finding, Report, verify_trail

__all__ = [
    "Access",
    "AuditTrail",
    "DisclosureEvent",
    "Event",
    "FileAuditTrail",
    "Finding",
    "KeyOperationEvent",
    "PermissionEvent",
    "ProcessingEvent",
    "Receipt",
    "RecoveryEvent",
    "Refusal",
    "RefusalCountEvent",
    "Report",
    "RightsRequestEvent",
    "filter_events",
    "read_trail",
    "verify_trail",
]
