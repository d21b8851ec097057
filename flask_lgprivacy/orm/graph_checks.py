"""Builds the ownership graph, and checks every labelled model against the policy document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.orm import Mapper

from ..errors import ModelInvalid
from ..policy.model import Capacity, Policy
from ..policy.sensitive_terms import SensitiveTerms
from .model_info import ModelInfo
from .ownership_checks import check_ownership
from .ownership_graph import OwnershipGraph, capacity_of
from .ownership_labels import Keep
from .ownership_links import Link, collect_links
from .registry import keep_mappers, model_info_on
from .reserved_identifiers import can_be_reserved
from .unlabelled import application_tables, refuse_sensitive_names, refuse_unguarded_mappers


def build_ownership_graph(mappers: Iterable[Mapper[Any]], policy: Policy) -> OwnershipGraph:
    """Check every labelled model against the policy and return the graph; raises `ModelInvalid`."""
    mappers = sorted(mappers, key=lambda candidate: candidate.class_.__name__)
    keep_mappers(mappers)
    refuse_unguarded_mappers(mappers, policy)
    every = [layout for mapper in mappers if (layout := model_info_on(mapper)) is not None]
    for layout in every:
        _check_layout(layout, policy)
    layouts = [layout for layout in every if layout.base is None]
    subjects = _by_kind(layouts)
    belongings: dict[str, list[ModelInfo]] = {}
    for layout in layouts:
        if not layout.is_subject and not layout.is_shared:
            belongings.setdefault(layout.kind, []).append(layout)
    for kind, infos in belongings.items():
        if kind not in subjects:
            raise ModelInvalid(
                f"{infos[0].name}: belongs_to({kind!r}), but no model is subject({kind!r})"
            )
        for layout in infos:
            _check_family(layout, [subjects[kind].policy_kind], policy)
    refuse_sensitive_names(mappers, SensitiveTerms(policy))
    tables = list(application_tables(mappers))
    try:
        links = tuple(collect_links(tables, every))
    except LookupError as unknown:
        raise ModelInvalid(str(unknown.args[0])) from None
    graph = OwnershipGraph(
        subjects,
        {kind: tuple(infos) for kind, infos in belongings.items()},
        tuple(layout for layout in layouts if layout.is_shared),
        links,
        tuple(tables),
    )
    check_ownership(graph, policy)
    _keep_what_keys_lead_to(every, links)
    for layout in graph.shared:
        _check_family(layout, _owning_kinds(graph, layout), policy)
    for kind, layout in subjects.items():
        _check_scope(graph, kind, layout)
        if capacity_of(graph, kind, policy) is Capacity.PROCESSOR and layout.client is None:
            raise ModelInvalid(
                f"{layout.name}: data held as processor needs its client; write subject({kind!r}, "
                "client='…')"
            )
    return graph


def _keep_what_keys_lead_to(layouts: Iterable[ModelInfo], links: Iterable[Link]) -> None:
    """Tell models which of their columns labelled keys lead to, and which numbers are never given
    twice, because somebody's key stays when its row goes.
    """
    links = list(links)
    for layout in layouts:
        shown = {column: name for name, column in layout.columns().items()}
        for link in links:
            names = [shown[column] for column in link.target_columns if column in shown]
            layout.led_to.update(dict.fromkeys(names))
        primary = list(layout.table.primary_key.columns)
        name = shown[primary[0]]
        is_kept = any(
            isinstance(link.on_erasure, Keep) and list(link.target_columns) == primary
            for link in links
        )
        is_besides = layout.has_own_key and name != layout.key
        if can_be_reserved(primary[0]) and (is_besides or is_kept):
            layout.counted[name] = None


def _by_kind(layouts: Iterable[ModelInfo]) -> dict[str, ModelInfo]:
    """The models of subjects; raises `ModelInvalid` where two are of one name."""
    subjects: dict[str, ModelInfo] = {}
    for layout in layouts:
        if layout.is_subject:
            if layout.kind in subjects:
                raise ModelInvalid(
                    f"{layout.name}: {subjects[layout.kind].name} is already "
                    f"subject({layout.kind!r}); give one of them a name of its own, as "
                    f"subject({layout.policy_kind!r}, name={layout.name.lower()!r})"
                )
            subjects[layout.kind] = layout
    return subjects


def _check_family(layout: ModelInfo, kinds: Sequence[str], policy: Policy) -> None:
    """Check the categories of a model and its subclasses."""
    for member in layout.family():
        _check_categories(member, kinds, policy)


def _check_scope(graph: OwnershipGraph, kind: str, layout: ModelInfo) -> None:
    model, _, name = (layout.scope or "").rpartition(".")
    holding = next(
        (candidate for candidate in graph.of(kind) if candidate.name == (model or layout.name)),
        None,
    )
    if layout.scope is not None and (holding is None or not holding.has_column(name)):
        raise ModelInvalid(
            f"{layout.name}: scope={layout.scope!r} is neither a column of this model nor one of a "
            f"model with belongs_to({kind!r})"
        )


def _owning_kinds(graph: OwnershipGraph, layout: ModelInfo) -> list[str]:
    """The kinds of subject that may own rows of a shared model."""
    return [
        subject.policy_kind
        for subject in graph.subjects.values()
        if layout.table in graph.owned_from(subject.table)
    ]


def _check_layout(layout: ModelInfo, policy: Policy) -> None:
    if layout.is_subject and layout.policy_kind not in policy.subjects:
        raise ModelInvalid(
            f"{layout.name}: the policy document has no subject {layout.policy_kind!r}; it has "
            f"{', '.join(policy.subjects)}"
        )
    _check_categories(layout, [layout.policy_kind] if layout.is_subject else [], policy)


def _check_categories(layout: ModelInfo, kinds: Iterable[str], policy: Policy) -> None:
    fields = {name: group.category for group in layout.groups.values() for name in group.fields}
    fields.update({name: tag.category for name, tag in layout.tagged.items()})
    for name, category in fields.items():
        prohibited = next(
            (
                p
                for p in policy.prohibitions
                if category in p.categories and not p.actions and not p.except_purposes
            ),
            None,
        )
        if prohibited is not None:
            raise ModelInvalid(
                f"{layout.name}.{name}: {prohibited.says} [{prohibited.clause}]",
                clause=prohibited.clause,
            )
        declared = policy.categories.get(category)
        if declared is None:
            declared_names = ", ".join(sorted(policy.categories))
            raise ModelInvalid(
                f"{layout.name}.{name}: the policy document has no category {category!r}; it has "
                f"{declared_names}"
            )
        for kind in kinds:
            if kind not in declared.subjects:
                possible = ", ".join(
                    declared_names.id
                    for declared_names in policy.categories.values()
                    if kind in declared_names.subjects
                )
                raise ModelInvalid(
                    f"{layout.name}.{name}: {category} is not a category of subject {kind!r}, "
                    f"which has {possible}",
                    clause=declared.clause,
                )
        if name in layout.tagged and declared.capacity is Capacity.PROCESSOR:
            raise ModelInvalid(
                f"{layout.name}.{name}: {category} is held as processor; use sealed(…)",
                clause=policy.commitments["processor-held"].clause,
            )
