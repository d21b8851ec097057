"""The trail: event types, the chain, its writer, its verifier and its reader."""

from .events import Disclosure, Event, KeyOperation, Permission, Processing, Recovery, Refused, RightsRequest, Touched
from .read import read_trail
from .verify import Finding, Report, verify_trail
from .writer import FileTrail, Receipt, Trail

__all__ = [
    "Disclosure",
    "Event",
    "FileTrail",
    "Finding",
    "KeyOperation",
    "Permission",
    "Processing",
    "Receipt",
    "Recovery",
    "Refused",
    "Report",
    "RightsRequest",
    "Touched",
    "Trail",
    "read_trail",
    "verify_trail",
]
