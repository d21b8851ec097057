"""What one application has of this extension, in `app.extensions["lgprivacy"]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import current_app
from flask_sqlalchemy import SQLAlchemy

from .config import Config
from .errors import ConfigurationError
from .gate.host_hooks import HostHooks
from .gate.runtime import Runtime
from .permissions.consents import ConsentService
from .permissions.grant_service import GrantService
from .permissions.workflows import GrantWorkflow
from .policy.model import Policy
from .profile_location import ProfileLocation
from .rights.background import BackgroundRunner
from .rights.service import RightsService
from .usage.statistics import UsageStatistics

NAME = "lgprivacy"


@dataclass(frozen=True, slots=True)
class PrivacyState:
    """What one application has of this extension."""

    config: Config
    runtime: Runtime
    hooks: HostHooks
    rights: RightsService
    consents: ConsentService
    grants: GrantService
    grant_workflows: Mapping[str, GrantWorkflow]
    usage: UsageStatistics
    background: BackgroundRunner
    storage: ProfileLocation
    database: SQLAlchemy

    @property
    def policy(self) -> Policy:
        """The policy document."""
        return self.config.policy


def get_state() -> PrivacyState:
    """The state of the current application; raises `ConfigurationError` where there is none."""
    state = current_app.extensions.get(NAME)
    if not isinstance(state, PrivacyState):
        raise ConfigurationError(
            "LGPrivacy is not set up on this application; call privacy.init_app(app)"
        )
    return state
