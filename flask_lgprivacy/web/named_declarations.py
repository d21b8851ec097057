"""Declarations of views that take no decorator, by the name of their endpoint or blueprint."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from ..errors import DeclarationInvalid
from ..gate.declaration import Declaration, add_declaration, check_declaration
from ..policy.engine import PolicyEngine

WHOLE_BLUEPRINT = ".*"
"""Ends a name that stands for every endpoint of a blueprint that states nothing itself."""


class NamedDeclarations:
    """What is declared for endpoints by name: `admin.index`, or `admin.*` for a blueprint."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Declaration, ...]] = {}

    def add(self, name: str, declaration: Declaration) -> None:
        """Declare something; raises `DeclarationInvalid` for what is no such name, or for a role
        that would have two purposes.
        """
        blueprint = name.removesuffix(WHOLE_BLUEPRINT)
        if not blueprint or "*" in blueprint:
            raise DeclarationInvalid(
                f"declare({name!r}, …) takes the name of an endpoint, such as 'admin.index', or "
                "of a blueprint, as 'admin.*'"
            )
        try:
            self._by_name[name] = add_declaration(self._by_name.get(name, ()), declaration)
        except DeclarationInvalid as error:
            raise DeclarationInvalid(f"{name}: {error.message}") from None

    def of(self, endpoint: str) -> tuple[Declaration, ...]:
        """What is declared for an endpoint: by its own name, or by that of the innermost
        blueprint.
        """
        return self._by_name.get(endpoint) or next(
            (self._by_name[name] for name in _blueprints_of(endpoint) if name in self._by_name), ()
        )

    def of_itself(self, endpoint: str) -> bool:
        """Whether an endpoint is declared by its own name."""
        return endpoint in self._by_name

    def faults(self, endpoints: Collection[str], engine: PolicyEngine) -> Iterator[str]:
        """Names that are no endpoint, and declarations that the policy document can never allow.

        Args:
            endpoints: Of the application.
            engine: Of its policy document.
        """
        known = {name for endpoint in endpoints for name in (endpoint, *_blueprints_of(endpoint))}
        for name, declarations in self._by_name.items():
            if name not in known:
                close = difflib.get_close_matches(name, sorted(known), 1)
                meant = f"; did you mean {close[0]!r}?" if close else ""
                yield f"declare({name!r}, …) names no endpoint or blueprint{meant}"
            for declaration in declarations:
                try:
                    check_declaration(declaration, engine, f"declare({name!r}, …)")
                except DeclarationInvalid as error:
                    yield error.message


def _blueprints_of(endpoint: str) -> Iterator[str]:
    """The names of an endpoint's blueprints, the innermost first."""
    parts = endpoint.split(".")
    for length in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:length]) + WHOLE_BLUEPRINT
