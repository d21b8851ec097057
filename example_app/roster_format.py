"""OneRoster CSV bundles, versions 1.1 and 1.2: which files and columns there are, and what is taken from them."""

from __future__ import annotations

from collections.abc import Mapping

_COMMON = "sourcedId,status,dateLastModified"


def _columns(text: str) -> frozenset[str]:
    return frozenset(f"{_COMMON},{text}".split(","))


_SHARED = {
    "orgs": _columns("name,type,identifier,parentSourcedId"),
    "classes": _columns(
        "title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods"
    ),
    "enrollments": _columns("classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate"),
    "academicSessions": _columns("title,type,startDate,endDate,parentSourcedId,schoolYear"),
    "courses": _columns("schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes"),
    "demographics": _columns(
        "birthDate,sex,americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,"
        "demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,"
        "publicSchoolResidenceStatus"
    ),
}
_PERSON = "enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password"

COLUMNS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "1.1": {**_SHARED, "users": _columns(f"orgSourcedIds,role,{_PERSON}")},
    "1.2": {
        **_SHARED,
        "users": _columns(
            f"{_PERSON},userMasterIdentifier,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns"
        ),
        "roles": _columns("userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId"),
        "userProfiles": _columns(
            "userSourcedId,profileType,vendorId,applicationId,description,credentialType,username,password"
        ),
    },
}
"""Columns by version and file; a column outside this list, or under `metadata.`, is refused."""

READ = ("orgs", "users", "classes", "enrollments", "roles", "demographics")
"""Files from which something is taken; the others are checked and left aside."""

REQUIRED = {
    "orgs": ("sourcedId", "name", "type"),
    "users": ("sourcedId", "username", "givenName", "familyName"),
    "classes": ("sourcedId", "title", "schoolSourcedId"),
    "enrollments": ("sourcedId", "classSourcedId", "userSourcedId", "role"),
    "roles": ("sourcedId", "userSourcedId", "role", "orgSourcedId"),
    "demographics": ("sourcedId",),
}
"""Columns that must not be empty."""

ROLES = {
    "student": "student",
    "teacher": "teacher",
    "administrator": "administrator",
    "siteAdministrator": "administrator",
    "districtAdministrator": "administrator",
    "principal": "administrator",
    "parent": "parent",
    "guardian": "parent",
    "relative": "parent",
    "aide": "guest",
    "proctor": "guest",
    "counselor": "guest",
}
"""Roles of the standard, as roles of the policy document."""

UNUSED = frozenset(
    {
        "middleName",
        "userIds",
        "sms",
        "phone",
        "agentSourcedIds",
        "userMasterIdentifier",
        "preferredGivenName",
        "preferredMiddleName",
        "preferredFamilyName",
        "pronouns",
        "sex",
        "countryOfBirthCode",
        "stateOfBirthAbbreviation",
        "cityOfBirth",
        "publicSchoolResidenceStatus",
    }
)
"""Personal columns of the standard that the service does not need and does not take (LG-02)."""
