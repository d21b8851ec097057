"""What must not come in: sensitive names, identifiers, in bodies, tables and URLs (LG-02, LG-06,
LG-08).
"""

from .scanner import ScreeningFinding, SensitiveDataScanner

__all__ = ["ScreeningFinding", "SensitiveDataScanner"]
