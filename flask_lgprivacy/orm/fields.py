"""What a column is: sealed, tagged or not personal."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Column, Integer, LargeBinary
from sqlalchemy.orm import Mapped, declared_attr, deferred, mapped_column

from ..crypto.blind_index import INDEX_BYTES, BlindIndex
from ..database.sqlalchemy_internals import state_of
from ..errors import ModelInvalid, SealedComparison, UndeclaredProcessing
from .codec import ValueType
from .context import AccessContext, current_context
from .flush_events import assigned_in_flush
from .model_info import PLAINTEXT_PREFIX, VERSION_COLUMN, SealedGroup
from .registry import INFO_KEY, model_info_of
from .row_state import NO_ENVELOPE, SLOT, DecryptedGroup, assign, decrypted_slot

_context = current_context.get


def sealed(
    category: str,
    *,
    group: str | None = None,
    index: bool | BlindIndex = False,
    unique: bool = False,
    migrates_from: Column[Any] | None = None,
    was: str | None = None,
) -> Mapped[Any]:
    """A column whose value is stored only inside the row's sealed record.

    The type comes from the `Mapped[...]` annotation.

    Args:
        category: Of the policy document.
        group: Names a record of its own (a long text, a file); by default the category.
        index: Adds a blind index, so that `find_by` finds the value by equality; True for one of
            text.
        unique: Makes that index unique for whoever holds the data.
        migrates_from: The column that holds the value in plain text until `flask privacy keys
            migrate` has moved it.
        was: How the field was called before; records from before are read under that name until
            `flask privacy keys reshape` has rewritten them.

    Raises:
        ModelInvalid: The category is not a text, or the index cannot be unique.
    """
    if not isinstance(category, str):
        raise ModelInvalid(
            "sealed() takes a category of the policy document, such as sealed('student.profile')"
        )
    blind = index if isinstance(index, BlindIndex) else BlindIndex() if index or unique else None
    if unique and blind is not None and not blind.is_whole:
        raise ModelInvalid(
            "sealed(unique=True) needs a whole index; one of few bits is shared by several values"
        )
    return SealedField(
        category,
        group or category,
        blind=blind,
        unique=unique,
        migrates_from=migrates_from,
        was=was,
    )  # type: ignore[return-value]


def tagged(category: str, *column: Any, **options: Any) -> Mapped[Any]:
    """A labelled plaintext column, for categories that the publisher holds as controller.

    Args:
        category: Of the policy document.
        column: Goes to `mapped_column`.
        options: Go to `mapped_column`.
    """
    info = _labelled(options.pop("info", {}), category=category)
    return mapped_column(*column, info=info, **options)


def not_personal(reason: str, *column: Any, **options: Any) -> Mapped[Any]:
    """A column of a labelled model that holds no personal data, and why; the rest goes to
    `mapped_column`.
    """
    if not reason.strip():
        raise ModelInvalid("not_personal() needs the reason why the column holds no personal data")
    info = _labelled(options.pop("info", {}), reason=reason)
    return mapped_column(*column, info=info, **options)


def _labelled(info: dict[str, Any], **label: str) -> dict[str, Any]:
    """The `info` of a column with a label more; what its key means stays."""
    return {**info, INFO_KEY: {**(info.get(INFO_KEY) or {}), **label}}


class SealedField:
    """The descriptor behind `sealed()`: on a row it opens through the gate, on the class it refuses
    comparison.
    """

    __hash__ = object.__hash__

    def __init__(
        self,
        category: str,
        group: str,
        *,
        blind: BlindIndex | None,
        unique: bool,
        migrates_from: Column[Any] | None = None,
        was: str | None = None,
    ) -> None:
        self.category = category
        self.group = group
        self.column = "lgprivacy_" + re.sub(r"[^a-z0-9]+", "_", group.lower())
        self.opened_at = decrypted_slot(self.column)
        self.blind = blind
        self.unique = unique
        self.migrates_from = migrates_from
        self.was = was
        self.type: ValueType | None = None
        self.name, self.qualified = "…", "Model.…"
        self._groups: dict[type, SealedGroup] = {}
        self._validators: dict[type, Callable[[Any, str, Any], Any]] = {}

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.qualified = f"{owner.__name__}.{name}"
        self.index_column = f"lgprivacy_{name}_index" if self.blind is not None else None
        if _topmost_model(owner) is None:
            self._add_columns(owner, nullable=False)
            self._add_plaintext_column(owner)

    def add_to_topmost(self, model: type) -> None:
        """Add the columns of a subclass's field to the table of the topmost class, where they are
        NULL in rows of other classes.

        Raises:
            ModelInvalid: The field is migrated from a column of the subclass.
        """
        top = _topmost_model(model)
        if top is None or isinstance(vars(top).get(self.name), SealedField):
            return
        declaring = next(one for one in model.__mro__ if vars(one).get(self.name) is self)
        if _is_for_other_classes(declaring):
            return  # a mixin brings the columns of its fields
        if self.migrates_from is not None:
            raise ModelInvalid(
                f"{self.qualified}: migrates_from stands in {top.__name__}, from which "
                f"{model.__name__} inherits; declare the field there"
            )
        self._add_columns(top, nullable=True)

    def _add_columns(self, model: type, *, nullable: bool) -> None:
        columns = {
            VERSION_COLUMN: partial(_own_column, Integer, "row version", nullable=nullable),
            self.column: partial(_own_column, LargeBinary, "sealed", nullable=nullable),
        }
        if self.index_column:
            columns[self.index_column] = partial(
                _own_column,
                LargeBinary(INDEX_BYTES),
                "blind index",
                nullable=True,
                index=True,
                unique=self.unique,
            )
        for name, make in columns.items():
            if name not in vars(model):
                is_mixin = _is_for_other_classes(model)
                setattr(model, name, _of_each_class(name, make) if is_mixin else make())

    def _add_plaintext_column(self, model: type) -> None:
        if self.migrates_from is not None:
            self.migrates_from.info[INFO_KEY] = {"plaintext_of": self.name}
            plain = deferred(self.migrates_from, group=PLAINTEXT_PREFIX)
            setattr(model, PLAINTEXT_PREFIX + self.name, plain)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        row = instance.__dict__
        context = _context()
        opened = row.get(self.opened_at)
        if opened is None or context is None or opened.life is not context.lifetime_token:
            return self._look(instance, row, context)
        if opened.envelope is row.get(self.column):
            try:
                return opened.values[self.name]
            except KeyError:  # of a shared row, only what somebody is shown was opened
                return self._look(instance, row, context)
        return self._look(instance, row, context)

    def _look(self, instance: Any, row: dict[str, Any], context: AccessContext | None) -> Any:
        draft = row.get(
            SLOT
        )  # what was assigned is no local of this frame: a traceback may print locals
        if draft is not None and draft.assigned is not None and self.name in draft.assigned:
            return draft.assigned[self.name]
        if context is None:
            raise UndeclaredProcessing(
                f"{self.qualified} was read outside any declared processing; decorate the view "
                "with @privacy.handles(…), "
                "or use 'with privacy.processing(…)' in a job"
            )
        model = type(instance)
        group = self._groups.get(model)
        if group is None:
            group = self._groups[model] = model_info_of(model).groups[self.column]
        if state_of(instance).key is None and self.column not in row:
            return None  # never stored and never assigned
        opened = DecryptedGroup()
        if group.layout.is_shared:
            opened.values = context.open_shared_group(instance, group, self.name)
            before = row.get(self.opened_at)
            if before is not None and before.shows(context.lifetime_token, row[self.column]):
                opened.values = {**before.values, **opened.values}
        else:
            opened.values = context.open_group(instance, group)
        envelope = row[self.column]
        opened.life, opened.envelope = (
            context.lifetime_token,
            NO_ENVELOPE if envelope is None else envelope,
        )
        if draft is not None and draft.assigned is not None:
            opened.assign(
                {name: value for name, value in draft.assigned.items() if name in group.fields}
            )
        row[self.opened_at] = opened
        return opened.values[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        kind = self.type
        if kind is None:
            model_info_of(type(instance))
            kind = self.type
            assert kind is not None  # noqa: S101  the layout resolves every field's type
        if self._validators:
            validate = self._validators.get(type(instance))
            value = value if validate is None else validate(instance, self.name, value)
        if type(value) is not kind.taken_as_is:
            kind.check(value, self.qualified)
        row = instance.__dict__
        draft = row.get(SLOT)
        is_known = draft is not None and draft.assigned is not None and state_of(instance).modified
        if is_known and self.opened_at not in row:
            draft.assigned[self.name] = value
        else:
            assign(instance, self.opened_at, self.name, value)
        if state_of(instance).session_id is not None:
            assigned_in_flush(instance)

    def validate_with(self, model: type, validator: Any) -> None:
        """Call a model's own validator (SQLAlchemy's `@validates`) at each assignment."""
        if validator is not None:
            self._validators[model] = validator[0]

    def _refuse_comparison(self, *_: Any) -> Any:
        model = self.qualified.split(".")[0]
        first = "" if self.blind is not None else "declare it with index=True and "
        raise SealedComparison(
            f"{self.qualified} is sealed, so the database cannot compare, sort or select it; to "
            f"find equal values, {first}use "
            f"find_by({model}, {self.name}=…); to show it, select {model} and read the attribute; "
            "to sort, sort in Python"
        )

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse_comparison
    __clause_element__ = _refuse_comparison
    in_ = not_in = like = ilike = startswith = endswith = contains = between = is_ = is_not = (
        _refuse_comparison
    )
    asc = desc = label = distinct = collate = concat = match = regexp_match = op = (
        _refuse_comparison
    )

    def __repr__(self) -> str:
        return f"<sealed {self.qualified} as {self.category}>"


def _own_column(kind: Any, reason: str, **options: Any) -> Any:
    return mapped_column(kind, info={INFO_KEY: {"reason": reason}}, **options)


def _of_each_class(name: str, make: Callable[..., Any]) -> Any:
    """A column of a mixin or an abstract class: in a subclass that shares a table, the one that
    stands there already.
    """

    def declare(cls: type) -> Any:
        above = next((vars(base)["__table__"] for base in _mapped_above(cls)), None)
        if above is None or _brings_a_key(cls):
            return make()
        if name in above.columns:
            return above.columns[name]
        return make(nullable=True)

    declare.__annotations__ = {}  # SQLAlchemy takes what it returns for the type of the column
    return declared_attr(declare)


def _mapped_above(model: type) -> list[type]:
    return [base for base in model.__mro__[1:] if "__mapper__" in vars(base)]


def _brings_a_key(model: type) -> bool:
    """Whether a class body declares a primary key, and so has a table of its own."""
    columns = (getattr(value, "column", None) for value in vars(model).values())
    return any(isinstance(column, Column) and column.primary_key for column in columns)


def _is_for_other_classes(model: type) -> bool:
    """Whether a class is a mixin, or abstract, so that its columns are those of other classes."""
    return not hasattr(model, "metadata") or bool(vars(model).get("__abstract__"))


def _topmost_model(owner: type) -> type | None:
    """The model whose table holds the records of a subclass; None for a class without one, or with
    a table of its own alone (`concrete`).
    """
    arguments = vars(owner).get("__mapper_args__")
    if isinstance(arguments, dict) and arguments.get("concrete"):
        return None
    mapped = _mapped_above(owner)
    return mapped[-1] if mapped else None
