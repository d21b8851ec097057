"""The command group, on which each module registers its commands."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from ..errors import PrivacyError


class PrivacyGroup(AppGroup):
    """Says what is wrong and what to do, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PrivacyError as error:
            raise click.ClickException(error.message) from None


privacy = PrivacyGroup("privacy", help="The privacy policy as this application carries it out.")
