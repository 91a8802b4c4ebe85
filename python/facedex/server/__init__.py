"""Accounts, passwords, API keys, tokens, rate limits, jobs and attendance, in the gallery's database.

The HTTP server and the command line manage the same accounts and keys through this package. Names load on first use:
`facedex.server.forgetting` runs in every deletion, also where the packages of the extra ``server`` are not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .access import Access as Access
    from .access import SignIn as SignIn
    from .accounts import Account as Account
    from .accounts import Accounts as Accounts
    from .attempts import Attempts as Attempts
    from .attempts import Lockout as Lockout
    from .attempts import SignInTarget as SignInTarget
    from .attendance import Attendance as Attendance
    from .attendance import AttendanceRecord as AttendanceRecord
    from .challenges import Challenge as Challenge
    from .challenges import Challenges as Challenges
    from .idempotency import IdempotencyRecords as IdempotencyRecords
    from .idempotency import StoredResponse as StoredResponse
    from .jobs import Job as Job
    from .jobs import Jobs as Jobs
    from .jobs import Progress as Progress
    from .keys import ApiKey as ApiKey
    from .keys import ApiKeys as ApiKeys
    from .principals import ANYBODY as ANYBODY
    from .principals import SCOPES as SCOPES
    from .principals import Principal as Principal
    from .principals import check_scopes as check_scopes
    from .secrets import Passwords as Passwords
    from .tokens import Token as Token
    from .tokens import Tokens as Tokens
    from .writing import acting_from as acting_from
    from .writing import log_failed_sign_in as log_failed_sign_in

_HOMES = {
    "Access": ".access",
    "SignIn": ".access",
    "Account": ".accounts",
    "Accounts": ".accounts",
    "Attempts": ".attempts",
    "Lockout": ".attempts",
    "SignInTarget": ".attempts",
    "Attendance": ".attendance",
    "AttendanceRecord": ".attendance",
    "Challenge": ".challenges",
    "Challenges": ".challenges",
    "IdempotencyRecords": ".idempotency",
    "StoredResponse": ".idempotency",
    "Job": ".jobs",
    "Jobs": ".jobs",
    "Progress": ".jobs",
    "ApiKey": ".keys",
    "ApiKeys": ".keys",
    "ANYBODY": ".principals",
    "SCOPES": ".principals",
    "Principal": ".principals",
    "check_scopes": ".principals",
    "Passwords": ".secrets",
    "Token": ".tokens",
    "Tokens": ".tokens",
    "acting_from": ".writing",
    "log_failed_sign_in": ".writing",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
