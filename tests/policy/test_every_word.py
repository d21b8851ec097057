"""A word of the shipped policy document that is left out or misspelt is refused, or lets nothing more happen than before.

Every word is tried where `LGPRIVACY_TEST_WORDS=all`; else one in so many, another part of them on each day.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from flask_lgprivacy.errors import PolicyInvalid
from flask_lgprivacy.policy import SHIPPED, Action, Policy, PolicyEngine, parse_policy
from flask_lgprivacy.policy.disclosure_rules import decide_disclosure
from flask_lgprivacy.policy.model import Recipient

TEXT = SHIPPED.read_text(encoding="utf-8")
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z0-9_.\-]+|[\[\]{}=,]')
EVERY = int(os.environ.get("LGPRIVACY_TEST_WORD_SHARE", "40"))
TODAY = dt.date(2026, 11, 26)
Table = dict[Any, Any]


def words() -> list[re.Match[str]]:
    """Every word of the document: keys, texts, numbers, punctuation; comments have none."""
    comments = [range(*found.span()) for found in re.finditer(r"^#.*$", TEXT, flags=re.MULTILINE)]
    return [
        found
        for found in WORD.finditer(TEXT)
        if not any(found.start() in comment for comment in comments)
    ]


def variants(word: re.Match[str]) -> Iterator[tuple[str, str]]:
    """The document without a word, and with the word misspelt."""
    before, after = TEXT[: word.start()], TEXT[word.end() :]
    yield "left out", before + after
    text = word[0]
    if text.startswith('"') and len(text) > 2:
        yield "misspelt", before + text[:2] + "q" + text[2:] + after
        yield "cut short", before + text[:-2] + '"' + after
        yield "left out with its comma", before + after.lstrip(", ")
    elif text[0].isalnum():
        yield "misspelt", before + text + "q" + after


def allowed(policy: Policy) -> dict[tuple[str, str, str, str], list[frozenset[str]]]:
    """For each combination the sets of conditions under which it is allowed."""
    decisions = PolicyEngine(policy)
    table = {}
    for role, category, action, purpose in product(
        policy.roles, policy.categories, Action, policy.purposes
    ):
        cell = decisions.rules_for(role, category, action, purpose)
        if cell.prohibited is None and cell.alternatives:
            table[role, category, action.value, purpose] = [
                frozenset(map(str, conditions)) for conditions, _ in cell.alternatives
            ]
    return table


def disclosed(policy: Policy) -> set[tuple[str, str, str]]:
    """Who may be given what for what; a recipient of another id or other display name is the one that has its hosts."""
    return {
        (_known_recipient(recipient), purpose, category)
        for name, recipient in policy.recipients.items()
        for purpose, category in product(policy.purposes, policy.categories)
        if isinstance(decide_disclosure(policy, name, purpose, [category], TODAY), Recipient)
        and recipient.hosts
    }


def _known_recipient(recipient: Recipient) -> str:
    """The shipped recipient of the same id, hosts or name: one word changes at most one of them."""
    for known in SHIPPED_POLICY.recipients.values():
        if (
            recipient.id == known.id
            or recipient.name == known.name
            or recipient.hosts == known.hosts
        ):
            return known.id
    return recipient.id


def asked(policy: Policy) -> set[tuple[str, ...]]:
    """Who may exercise which right over whom, with what comes of it."""
    return {
        (right, rule.subject, role, rule.condition.value, rule.outcome.value)
        for rule in policy.rights
        for right in rule.rights
        for role in rule.roles
    }


def wider(one: Policy, than: Policy) -> list[str]:
    """What a document allows that another one does not, in words."""
    before, faults = KNOWN, []
    for combination, alternatives in allowed(one).items():
        known = before["allowed"].get(combination, [])
        if not all(
            any(narrower <= conditions for narrower in known) for conditions in alternatives
        ):
            faults.append(f"allowed: {combination}")
    faults += [f"disclosed: {given}" for given in disclosed(one) - before["disclosed"]]
    faults += [f"asked: {right}" for right in asked(one) - before["asked"]]
    kinds = {kind.condition: kind for kind in than.grant_kinds.values()}
    for name, kind in one.grant_kinds.items():
        was = kinds.get(kind.condition)
        if (
            was is None
            or not kind.given_by <= was.given_by
            or kind.hours > was.hours
            or kind.to != was.to
            or (was.agents is not None and (kind.agents is None or kind.agents > was.agents))
            or (was.grounds and not kind.grounds)
        ):
            faults.append(f"grants: {name}")
    for name, category in one.categories.items():
        was_held = than.categories.get(name)
        if was_held is None:
            continue
        if (
            (category.exportable and not was_held.exportable)
            or not category.allows <= was_held.allows
            or category.capacity != was_held.capacity
        ):
            faults.append(f"held: {name}")
        if (
            category.retention.period != was_held.retention.period
            or one.regions[category.region] - than.regions[was_held.region]
        ):
            faults.append(f"kept: {name}")
    for name in ("device-storage", "child-consent", "statistics"):
        if one.commitments[name].parameters != than.commitments[name].parameters:
            faults.append(f"commitment: {name}")
    if one.transfer_region - than.transfer_region:
        faults.append("transfer region")
    terms = [found for found in one.prohibitions if found.has_terms]
    if {found.vocabulary for found in terms} != {
        found.vocabulary for found in than.prohibitions if found.has_terms
    }:
        faults.append("vocabulary")
    if len(one.prohibitions) != len(than.prohibitions) or len(one.rules) != len(than.rules):
        faults.append("entries")
    return faults


SHIPPED_POLICY = parse_policy(TEXT, source="policy.toml")
KNOWN: Table = {
    "allowed": allowed(SHIPPED_POLICY),
    "disclosed": disclosed(SHIPPED_POLICY),
    "asked": asked(SHIPPED_POLICY),
}
TEXTS = ("name", "version", "publisher", "source", "contact", "clauses", "conditions")


def test_no_word_that_is_left_out_or_misspelt_lets_more_happen() -> None:
    every = words()
    tried = refused = equal = narrower = 0
    wide = []
    for number, word in enumerate(every):
        if (number + dt.date.today().toordinal()) % EVERY:
            continue
        for how, text in variants(word):
            tried += 1
            try:
                policy = parse_policy(text, source="policy.toml")
            except PolicyInvalid:
                refused += 1
                continue
            faults = wider(policy, SHIPPED_POLICY)
            if faults:
                line = TEXT.count("\n", 0, word.start()) + 1
                wide.append(f"line {line}: {word[0]} {how}: {faults[0]}")
            elif allowed(policy) == KNOWN["allowed"]:
                equal += 1
            else:
                narrower += 1
    print(
        f"{len(every)} words, {tried} documents tried: {refused} refused, {equal} equal, {narrower} narrower, {len(wide)} wider"
    )
    assert wide == []
    assert tried > 4800 // EVERY
    assert refused > tried / 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("agreement_required = true", 'agreement_required = "true"', "write true or false, without quotes"),
        ("exportable = false", "exportable = 0", "write true or false, without quotes"),
        ('roles = ["teacher", "administrator"]', 'roles = "teacher"', "write a list, in square brackets"),
        ('roles = ["teacher", "administrator"]', "roles = { teacher = 1 }", "write a list, in square brackets"),
        ("age = 15", 'age = "15"', "age: write a whole number from 1 to 21, without quotes"),
        ("age = 15", "ages = 15", "parameters.ages: unknown; it has age, subjects"),
        ('subjects = ["student"] }', 'subjects = "student" }', "write a list that is not empty"),
        ('region = "EEA" }', 'region = "EU" }', "parameters.region: unknown region; it has EEA, FR"),
        ("minimum_group = 10", "minimum_group = 1", "minimum_group: write a whole number from 2"),
        ('FR = ["FR"]', 'FR = ["FX"]', "regions.FR: unknown country: FX"),
        ('except_roles = ["teacher", "administrator"]', 'except_roles = ["teachers"]', "except_roles: unknown: teachers"),
        ('conditions = ["own-client", "guest-grant"]', 'conditions = ["own-client"]',
         "role guest is let in by guest-grant; name it [LG-20]"),
        ('conditions = ["own-client", "guest-grant"]', 'conditions = ["guest-grant"]', "guest-grant stands beside own-client"),
        ('conditions = ["strong-authentication", "emergency"]', 'conditions = ["emergency"]', "role support needs strong-authentication"),
        ('conditions = ["own-client", "direct-payment"]', 'conditions = ["own-client"]', "purpose billing needs direct-payment [LG-04]"),
        ('conditions = ["own-client"]', "conditions = []", "role administrator would reach student.activity of everybody; name own-client"),
        ('conditions = ["own-client"]', 'conditions = ["anybody", "self"]', "anybody stands alone"),
    ],
)  # fmt: skip
def test_what_would_restrict_nothing_is_refused_in_words(old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(TEXT.replace(old, new, 1), source="policy.toml")
    assert says in str(refused.value)


def test_a_document_without_rights_is_refused_in_words() -> None:
    without = re.sub(r"\[\[rights\]\]\n(?:[a-z].*\n)+", "", TEXT)
    with pytest.raises(PolicyInvalid, match="rights: name at least one"):
        parse_policy("rights = []\n" + without, source="policy.toml")


def test_a_rule_says_in_so_many_words_that_it_is_for_anybody() -> None:
    policy = parse_policy(
        TEXT.replace('conditions = ["own-client"]', 'conditions = ["anybody"]', 1),
        source="policy.toml",
    )
    assert policy.rules[0].is_for_anybody


def test_the_names_of_clauses_and_regions_are_the_documents_own() -> None:
    text = TEXT.replace("LG-", "M-").replace("EEA", "EU")
    assert parse_policy(text, source="own.toml").transfer_region >= {"FR", "DE"}


def test_a_prohibition_of_recipients_is_carried_out_where_a_recipient_is_known() -> None:
    own = (
        '[[prohibitions]]\nid = "own"\nsays = "contacts go to the host"\ncategories = ["commercial.contact"]\nactions = ["disclose"]\n'
        'except_recipient_kinds = ["host"]\nclause = "LG-10"\n\n[[prohibitions]]\nid = "sensitive-data"'
    )
    with pytest.raises(
        PolicyInvalid, match="recipients.mailchimp: can never be declared: contacts go to the host"
    ):
        parse_policy(
            TEXT.replace('[[prohibitions]]\nid = "sensitive-data"', own, 1), source="policy.toml"
        )
