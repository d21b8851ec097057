"""Everything this package raises: one tree, each error with a stable code, a status and a clause,
never a value.
"""

from __future__ import annotations


def describe_failure(error: BaseException) -> str:
    """What kind of exception was raised and where, without its text, which may hold values.

    Returns:
        Such as `ValueError in objection.py, line 12`.
    """
    place, traceback = "", error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        place = f" in {file}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f"{type(error).__name__}{place}"


class PrivacyError(Exception):
    """The root of all errors of this package.

    Args:
        message: What is wrong and what to do, in terms of names (endpoints, columns, categories,
            clauses) and never of values.
        clause: The id of the policy clause that decided, if one did.
    """

    code = "privacy-error"
    status = 500
    opaque = False
    """Whether the message is for developers only and stays out of answers in production."""
    commitment: str | None = None
    """The policy document's commitment whose clause is meant where an error states none itself."""

    def __init__(self, message: str, *, clause: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.clause = clause


class ConfigurationError(PrivacyError):
    """Something is declared wrongly; raised at start-up, naming the file, key, endpoint
    or column.
    """

    code = "configuration"
    opaque = True


class PolicyInvalid(ConfigurationError):
    """The policy document breaks a rule of its format; names file, key and clause."""

    code = "policy-invalid"


class ModelInvalid(ConfigurationError):
    """A labelled model is incomplete or contradicts the policy document; names model and column."""

    code = "model-invalid"


class DeclarationInvalid(ConfigurationError):
    """An endpoint declares what the policy document does not allow; names endpoint and clause."""

    code = "declaration-invalid"


class AccessDenied(PrivacyError):
    """The policy does not let this actor do this; says which clause and what was missing."""

    code = "access-denied"
    status = 403

    def __init__(
        self, message: str, *, clause: str | None = None, missing: str | None = None
    ) -> None:
        super().__init__(message, clause=clause)
        self.missing = missing


class AuthenticationRequired(AccessDenied):
    """Nobody is signed in, and the endpoint is not open to the public."""

    code = "authentication-required"
    status = 401


class EndpointUndeclared(AccessDenied):
    """The endpoint has neither a declaration nor an exemption, so nothing may happen
    there (LG-02).
    """

    code = "endpoint-undeclared"
    opaque = True
    commitment = "declared-processing"


class UndeclaredProcessing(PrivacyError):
    """Code touched a category, or used an action, that its declaration does not name."""

    code = "undeclared-processing"
    opaque = True
    commitment = "declared-processing"


class ViewBypassed(PrivacyError):
    """A declared endpoint was answered by something else than its view, such as a cache."""

    code = "view-bypassed"
    opaque = True
    commitment = "declared-processing"


class DisclosureRefused(AccessDenied):
    """A disclosure is not declared, not permitted or not labelled; refused before any connection.

    Not an `OSError`, so that no HTTP library takes it for a connection that may be tried again.
    """

    code = "disclosure-refused"


class RecipientUnavailable(PrivacyError):
    """The recipient did not answer, or not over a connection that could be trusted."""

    code = "recipient-unavailable"
    status = 502


class SealBroken(PrivacyError):
    """A sealed record is not the one that was written here; one opaque error for every cause."""

    code = "seal-broken"
    commitment = "integrity"

    def __init__(self) -> None:
        super().__init__(
            "a sealed record was refused: it is damaged, replaced, or belongs elsewhere"
        )


class RecordOfAnotherModel(PrivacyError):
    """A record was written by another version of its model: it lacks a field that this one has, and
    holds one that this one does not know.
    """

    code = "record-of-another-model"
    commitment = "integrity"

    def __init__(self, model: str, missing: str) -> None:
        super().__init__(
            f"a record of {model} was written by another version of the model and lacks {missing}; "
            "where the field was renamed, write sealed(…, was='…'); deploy one version, then run "
            f"'flask privacy keys reshape {model}'"
        )


class SubjectErased(PrivacyError):
    """The data subject was erased and the key destroyed; what is left of the record opens for
    nobody.
    """

    code = "subject-erased"
    status = 410
    commitment = "erasure"

    def __init__(self) -> None:
        super().__init__("this person's data was erased")


class ErasuresPending(PrivacyError):
    """The key table is older than the data, so people who were erased could be read again; nothing
    is processed until it is mended.
    """

    code = "erasures-pending"
    status = 503
    commitment = "erasure"

    def __init__(self) -> None:
        super().__init__(
            "the key table is older than the data: it was restored from a backup; run 'flask "
            "privacy retention replay', which "
            "repeats from the trail every erasure made since"
        )


class KeyLost(PrivacyError):
    """No key and no tombstone exist for a record: an alarm, not an erasure; restore the
    key table.
    """

    code = "key-lost"
    commitment = "integrity"

    def __init__(self) -> None:
        super().__init__(
            "a sealed record has neither a key nor a tombstone; restore the key table from its "
            "backup"
        )


class KeyUnavailable(PrivacyError):
    """A key service did not give or take a key; `is_away` where it did not answer at all."""

    code = "key-unavailable"
    status = 503

    def __init__(self, message: str, *, is_away: bool = False) -> None:
        super().__init__(message)
        self.is_away = is_away


class TrailUnavailable(PrivacyError):
    """The trail could not be written, so nothing is released, denials included."""

    code = "trail-unavailable"
    status = 503

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the audit trail cannot be written ({reason}); nothing is released until it can"
        )


class StoreUnavailable(PrivacyError):
    """A store that the application brought did not answer, so what it holds is neither exported nor
    erased; names the store.
    """

    code = "store-unavailable"
    status = 503


class ErasureBlocked(PrivacyError):
    """The database refuses to delete rows, because others that carry no label refer to them; the
    request failed and can be asked for again.
    """

    code = "erasure-blocked"
    status = 409


class UsageRefused(PrivacyError):
    """A usage event is not declared as such, so it could say who somebody was."""

    code = "usage-refused"
    opaque = True
    commitment = "statistics"


class WriteInvalid(PrivacyError):
    """A labelled row is written in a way in which its record cannot follow it; says how to write it
    instead.
    """

    code = "write-invalid"
    opaque = True


class SealedComparison(PrivacyError, TypeError):
    """A query compares a sealed column, which could only ever find nothing; names the lookup to
    use.
    """

    code = "sealed-comparison"
    opaque = True


class RequestInvalid(PrivacyError):
    """What was sent cannot be understood; names the field, never its value."""

    code = "request-invalid"
    status = 422


class IntakeRefused(RequestInvalid):
    """What was sent holds something that must not be taken in; names the field's path, never its
    value.
    """

    code = "intake-refused"


class BodyTooLong(RequestInvalid):
    """A body is longer than the application takes; refused before it is read."""

    code = "body-too-long"
    status = 413

    def __init__(self, longest: int) -> None:
        super().__init__(
            f"the body is longer than {longest} bytes; send less, or raise LGPRIVACY_LONGEST_BODY"
        )


class RequestNotFound(PrivacyError):
    """There is no such thing, or not for this actor: the two look the same."""

    code = "not-found"
    status = 404


class RequestConflict(PrivacyError):
    """The request is in a state in which this cannot be done; `is_final` where trying again does
    not help.
    """

    code = "conflict"
    status = 409

    def __init__(self, message: str, *, clause: str | None = None, is_final: bool = False) -> None:
        super().__init__(message, clause=clause)
        self.is_final = is_final


class TooManyRequests(PrivacyError):
    """Somebody asked for the same more often than is taken in a time; says when to try again (RFC
    6585, section 4).
    """

    code = "too-many-requests"
    status = 429
