"""The policy document is read strictly, and its errors say where and why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flask_lgprivacy.errors import PolicyInvalid
from flask_lgprivacy.policy import SHIPPED, load_policy, parse_policy

TEXT = SHIPPED.read_text(encoding="utf-8")


def parse(text: str) -> object:
    return parse_policy(text, source="policy.toml")


def test_the_shipped_document_holds_all_31_clauses() -> None:
    assert sorted(load_policy().clauses) == [f"LG-{number:02d}" for number in range(1, 32)]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('clause = "LG-06"\n\n[categories."student.activity"]', '[categories."student.activity"]', "categories.student.profile.clause"),
        ("retention = { after = \"collection\", period = \"P24M\", clause = \"LG-05\" }", "", "categories.usage.statistics.retention"),
        ('label = "Teacher"', 'label = "Teacher"\ncolour = "red"', "roles.teacher.colour"),
        ('roles = ["teacher", "administrator"]', "roles = []", "rules[0].roles"),
        ('period = "P24M"', 'period = "two years"', "categories.usage.statistics.retention.period"),
        ('[purposes.billing]', '[purposes.sale]\nlabel = "Sale"\nbasis = "contract"\nclause = "LG-09"\n\n[purposes.billing]', "purposes.sale: can never be declared"),
        ('kind = "subcontractor"\ncountry = "EE"', 'kind = "advertising-agency"\ncountry = "EE"', "recipients.pipedrive: can never be declared"),
        ('[recipient_kinds.host]', '[recipient_kinds.data-broker]\nlabel = "x"\nagreement_required = true\nclause = "LG-09"\n\n[recipient_kinds.host]', "recipient_kinds.data-broker: can never be declared"),
        ('agreement = { reference = "Pipedrive data processing addendum", since = 2025-08-28 }', "", "recipients.pipedrive.agreement"),
        ('country = "EE"', 'country = "GB"', "recipients.pipedrive.transfer: GB needs a transfer tool [LG-14]"),
        ('purposes = ["customer-journey"]\nagreement', 'purposes = ["sale"]\nagreement', "recipients.pipedrive: can never be declared"),
        ('conditions = ["self", "consent"]', 'conditions = ["self"]', "rests on consent; add consent [LG-17]"),
        ('clause = "LG-15"', 'clause = "LG-10"', "clauses.LG-15: no entry carries this clause out"),
        ('clause = "LG-15"', 'clause = "LG-99"', "cites a clause that the document does not have"),
        ('[commitments.integrity]', '[commitments.other]', "commitments.integrity: missing"),
        ('since = 2023-07-10', 'since = "2023-07-10"', "recipients.mailchimp.transfer.since"),
        ("[policy]", "[policy", "not TOML"),
        ("[deadline]", "[deadlines]", "unknown section"),
        ('region = "EEA"\nretention', 'region = "MARS"\nretention', "region: unknown: MARS"),
    ],
)  # fmt: skip
def test_a_fault_is_refused_with_file_and_key(old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(PolicyInvalid, match="policy.toml: ") as refused:
        parse(TEXT.replace(old, new, 1))
    assert says in str(refused.value)


def test_a_missing_file_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="absent.toml.*LGPRIVACY_POLICY"):
        load_policy(tmp_path / "absent.toml")


def test_a_transfer_to_another_country_passes_with_a_tool() -> None:
    with_tool = TEXT.replace(
        'country = "EE"',
        'country = "GB"\ntransfer = { tool = "adequacy", reference = "Decision (EU) 2021/1772", since = 2021-06-28 }',
    )
    parse(with_tool)


DIRECT_PAYMENT = re.compile(r"^\[conditions.direct-payment\]\n.*\n.*\n", re.MULTILINE)


def test_a_condition_that_no_entry_asks_for_need_not_be_written() -> None:
    without = DIRECT_PAYMENT.sub("", TEXT)
    assert without != TEXT
    with pytest.raises(PolicyInvalid, match=r"conditions\.direct-payment: missing; an entry"):
        parse(without)
    unused = without.replace('needs = ["direct-payment"]', "").replace(', "direct-payment"', "")
    assert parse(unused)


def test_every_missing_section_is_named_at_once_in_order() -> None:
    with pytest.raises(PolicyInvalid) as refused:
        parse('[policy]\nname = "x"\n')
    assert (
        "contact, clauses, regions, subjects, categories, roles, purposes, rules, rights, "
        "endpoints, deadline, commitments: missing; a document has these sections"
    ) in str(refused.value)


@pytest.mark.parametrize("section", ["recipients", "grounds", "grant_kinds"])
def test_a_section_that_is_not_used_may_be_absent(section: str) -> None:
    document = re.sub(rf"^\[{section}\.", "[unused.", TEXT, flags=re.MULTILINE)
    assert document != TEXT
    with pytest.raises(PolicyInvalid) as refused:
        parse(re.sub(r"^\[unused\.[^\[]*", "", document, flags=re.MULTILINE))
    assert f"{section}: missing" not in str(refused.value)
