"""The command group, on which each module registers its commands."""

from __future__ import annotations

import click
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from ..errors import PrivacyError


class PrivacyGroup(AppGroup):
    """Says what is wrong and what to do, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PrivacyError as error:
            raise click.ClickException(error.message) from None
        except UnicodeError:
            raise click.ClickException("an argument holds characters that are no text") from None
        except SQLAlchemyError as fault:
            kind = type(getattr(fault, "orig", None) or fault).__name__
            raise click.ClickException(
                f"the database refused ({kind}): it is locked, away, or lacks tables that 'flask "
                "privacy init' makes; mend that, "
                "then run this again, which goes on where it stopped"
            ) from None


privacy = PrivacyGroup("privacy", help="The privacy policy as this application carries it out.")
