"""Minimisation on the way in: what a request sends is looked through before a view sees it (LG-02,
LG-06, LG-08).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..errors import BodyTooLong, IntakeRefused, RequestInvalid
from ..orm.ownership_graph import OwnershipGraph
from ..policy.model import Action, Policy
from ..schemas.load import load_body
from ..schemas.paths import path_segment
from .csv_scan import TABLE_TYPES, scan_table
from .scanner import ScreeningFinding, SensitiveDataScanner

FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class BodyDeclaration(Protocol):
    """What an endpoint declares of what it takes."""

    @property
    def categories(self) -> frozenset[str]: ...

    @property
    def actions(self) -> frozenset[Action]: ...

    @property
    def accepts(self) -> Any: ...


class RequestScreening:
    """What one application takes in."""

    def __init__(
        self, policy: Policy, graph: Callable[[], OwnershipGraph], longest_body: int
    ) -> None:
        self._policy = policy
        self._graph = graph
        self._longest_body = longest_body
        self._screen = SensitiveDataScanner(policy)
        self._names: dict[frozenset[str], frozenset[str]] = {}
        self._routes: dict[tuple[str, frozenset[str]], ScreeningFinding | None] = {}

    def take(self, request: Any, declaration: BodyDeclaration | None) -> Any:
        """Look through the URL and body of a request; returns what `accepts=` made of the body, or
        None.

        Raises `IntakeRefused` for what must not be sent, and `RequestInvalid` for what the declared
        schema does not know.
        """
        environ = request.environ
        schema = declaration.accepts if declaration is not None else None
        has_body = (
            environ.get("CONTENT_LENGTH", "0") not in ("", "0")
            or "HTTP_TRANSFER_ENCODING" in environ
            or bool(environ.get("wsgi.input_terminated"))
        )
        if request.view_args or environ.get("QUERY_STRING"):
            self._check_url(declaration, request)
        if schema is None and not has_body:
            return None
        if has_body:
            self._limit(request)
        content = self._read(request) if has_body else None
        if schema is not None and content is None and has_body and request.content_length != 0:
            raise self._invalid("send a JSON object with Content-Type application/json, or a form")
        if schema is None or request.method in ("GET", "HEAD", "OPTIONS"):
            self._refuse_found(self._screen.find(content))
            if content and declaration is not None and Action.WRITE in declaration.actions:
                reason = (
                    "this endpoint writes and declares no field that may be sent; name them "
                    "with accepts=schema_of(…)"
                )
                raise self._invalid(reason)
            return None
        self._refuse_found(self._screen.find(content, schema))
        try:
            return load_body(schema, {} if content is None else content)
        except RequestInvalid as error:
            raise self._invalid(error.message) from None

    def _limit(self, request: Any) -> None:
        """Refuse a body that says that it is too long before it is read, and stop reading one that
        does not say it.
        """
        longest = self._longest(request)
        if (request.content_length or 0) > longest:
            raise BodyTooLong(longest)
        request.max_content_length = longest + 1

    def _longest(self, request: Any) -> int:
        own_limit = request.max_content_length
        return self._longest_body if own_limit is None else min(own_limit, self._longest_body)

    def _content(self, request: Any) -> bytes:
        content: bytes = request.get_data(cache=True)
        longest = request.max_content_length - 1
        if len(content) > longest:
            raise BodyTooLong(longest)
        return content

    def _invalid(self, reason: str) -> RequestInvalid:
        return RequestInvalid(reason, clause=self._policy.clause_of("minimisation"))

    def _read(self, request: Any) -> Any:
        """The body as one JSON value, where it is JSON or a form; tables and texts are looked
        through here.
        """
        kind = request.mimetype
        if request.is_json:
            return self._parsed(self._content(request))
        if kind in FORM_TYPES:
            for name, file in request.files.items(multi=True):
                self._refuse_found(self._of_part(file, f"{path_segment(name, 0)}: "))
            self._refuse_found(self._screen.of_names([*request.form, *request.files], ""))
            return {
                name: values[0] if len(values) == 1 else values
                for name, values in request.form.lists()
            }
        if kind in TABLE_TYPES:
            self._refuse_found(scan_table(self._screen, self._content(request), ""))
        elif not kind or kind.startswith("text/"):
            content = self._content(request)
            parsed = self._parsed(content)
            finding = self._screen.find(
                parsed if parsed is not None else content.decode("utf-8", errors="replace")
            )
            self._refuse_found(finding)
        return None

    def _of_part(self, file: Any, place: str) -> ScreeningFinding | None:
        """What must not be in a file of a form, where it is a table or JSON."""
        name = (file.filename or "").lower()
        is_table = file.mimetype in TABLE_TYPES or name.endswith((".csv", ".tsv"))
        if not is_table and file.mimetype != "application/json" and not name.endswith(".json"):
            return None
        content = file.stream.read()
        file.stream.seek(0)
        return (
            scan_table(self._screen, content, place)
            if is_table
            else self._screen.find(self._parsed(content))
        )

    def _parsed(self, content: bytes) -> Any:
        """A JSON value, None where the content is none; refused where it is nested too deeply to be
        read.
        """
        try:
            return json.loads(content)
        except RecursionError:
            raise RequestInvalid("the body is nested too deeply") from None
        except ValueError:
            return None

    def _check_url(self, declaration: BodyDeclaration | None, request: Any) -> None:
        """A URL stands in logs, histories and referrers, so no personal value has a place in it
        (ASVS 14.2.1).
        """
        categories = declaration.categories if declaration is not None else frozenset()
        parts = [
            (name, value)
            for name, value in (request.view_args or {}).items()
            if isinstance(value, str)
        ]
        if request.view_args:
            self._refuse_found(self._of_route(request.endpoint, request.view_args, categories))
        if request.query_string:
            query_values = dict(request.args.lists())
            self._refuse_found(self._of_names(query_values, categories))
            parts += [(name, value) for name, values in query_values.items() for value in values]
        for number, (name, value) in enumerate(parts):
            self._refuse_found(self._screen.of_text(value, f"URL: {path_segment(name, number)}"))

    def _of_route(
        self, endpoint: str, names: Iterable[str], categories: frozenset[str]
    ) -> ScreeningFinding | None:
        """The names in a route are the same for every request, so they are looked at once."""
        route_key = (endpoint, categories)
        if route_key not in self._routes:
            self._routes[route_key] = self._of_names(names, categories)
        return self._routes[route_key]

    def _of_names(
        self, names: Iterable[str], categories: frozenset[str]
    ) -> ScreeningFinding | None:
        finding = self._screen.of_names(names, "URL: ")
        if finding is not None:
            return finding
        personal = self._personal_names(categories) if categories else frozenset()
        for number, name in enumerate(names):
            if name in personal:
                reason = "personal data has no place in a URL; send it in the body"
                return ScreeningFinding(f"URL: {path_segment(name, number)}", reason, None)
        return None

    def _personal_names(self, categories: frozenset[str]) -> frozenset[str]:
        """The names of columns that hold any of some categories."""
        names = self._names.get(categories)
        if names is None:
            names = frozenset(
                name
                for layout in self._graph().models
                for name, of in layout.field_categories.items()
                if of in categories
            )
            self._names[categories] = names
        return names

    def _refuse_found(self, finding: ScreeningFinding | None) -> None:
        if finding is not None:
            clause = finding.clause or self._policy.clause_of("minimisation")
            raise IntakeRefused(f"{finding.path}: {finding.why}", clause=clause)
