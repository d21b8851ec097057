"""The gate: who acts, what was declared, and what may be opened."""

from .actor import Actor, ActorLoader, flask_login_actor
from .declaration import Declaration, Exemption, check_declaration, declare
from .flask_adapter import Census, Entry, FlaskGate, exempt, guard
from .house import House
from .job import Job
from .processing import Processing
from .wsgi import Door

__all__ = [
    "Actor",
    "ActorLoader",
    "Census",
    "Declaration",
    "Door",
    "Entry",
    "Exemption",
    "FlaskGate",
    "House",
    "Job",
    "Processing",
    "check_declaration",
    "declare",
    "exempt",
    "flask_login_actor",
    "guard",
]
