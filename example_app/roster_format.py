"""OneRoster CSV bundles, versions 1.1 and 1.2: which files and columns there are, and what is taken
from them.
"""

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
    "enrollments": _columns(
        "classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate"
    ),
    "academicSessions": _columns("title,type,startDate,endDate,parentSourcedId,schoolYear"),
    "courses": _columns(
        "schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes"
    ),
    "demographics": _columns(
        "birthDate,sex,americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,"
        "demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,"
        "publicSchoolResidenceStatus"
    ),
}
_PERSON = (
    "enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,"
    "agentSourcedIds,grades,password"
)

COLUMNS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "1.1": {**_SHARED, "users": _columns(f"orgSourcedIds,role,{_PERSON}")},
    "1.2": {
        **_SHARED,
        "users": _columns(
            f"{_PERSON},userMasterIdentifier,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns,resourceSourcedIds"
        ),
        "roles": _columns(
            "userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId"
        ),
        "userProfiles": _columns(
            "userSourcedId,profileType,vendorId,applicationId,description,credentialType,username,password"
        ),
    },
}
"""Columns by version and file; a column outside this list, or under `metadata.`, is refused."""

READ = ("orgs", "users", "classes", "enrollments", "roles", "demographics")
"""Files from which something is taken; the others are checked and left aside."""

NOT_READ = frozenset(
    {
        "categories",
        "classresources",
        "courseresources",
        "lineitemlearningobjectiveids",
        "lineitems",
        "lineitemscorescales",
        "resources",
        "resultlearningobjectiveids",
        "results",
        "resultscorescales",
        "scorescales",
        "userresources",
    }
)
"""Files of the standard, in lower case, that are left aside without being checked: the gradebook
and resources.
"""

TAKEN: Mapping[str, frozenset[str]] = {
    "orgs": frozenset({"sourcedId", "status", "name", "type"}),
    "users": frozenset(
        {
            "sourcedId",
            "status",
            "enabledUser",
            "orgSourcedIds",
            "primaryOrgSourcedId",
            "role",
            "username",
            "givenName",
            "familyName",
            "email",
            "grades",
            "password",
        }
    ),
    "classes": frozenset({"sourcedId", "status", "title", "schoolSourcedId"}),
    "enrollments": frozenset(
        {"sourcedId", "status", "classSourcedId", "userSourcedId", "role", "beginDate", "endDate"}
    ),
    "roles": frozenset(
        {
            "sourcedId",
            "status",
            "userSourcedId",
            "roleType",
            "role",
            "orgSourcedId",
            "beginDate",
            "endDate",
        }
    ),
    "demographics": frozenset({"sourcedId", "status", "birthDate"}),
}
"""Columns from which something is taken; others that hold anything are named in the result (LG-02).
"""

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
    "systemAdministrator": "administrator",
}
"""Roles of the standard, as roles of the policy document."""
