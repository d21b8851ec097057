"""Reports: usage statistics that identify nobody."""

from .atoms import Atom, publishable
from .usage import Usage, UsageReport
from .vocabulary import UsageEvent, parse_usage

__all__ = ["Atom", "Usage", "UsageEvent", "UsageReport", "parse_usage", "publishable"]
