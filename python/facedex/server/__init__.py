"""Accounts, passwords, API keys, tokens, rate limits, jobs and attendance, in the gallery's database.

The HTTP server and the command line manage the same accounts and keys through this package.
"""

from .access import Access, SignIn
from .accounts import Account, Accounts
from .attempts import Attempts, Lockout, SignInTarget
from .attendance import Attendance, AttendanceRecord
from .idempotency import IdempotencyRecords, StoredResponse
from .jobs import Job, Jobs, Progress
from .keys import ApiKey, ApiKeys
from .principals import ANYBODY, SCOPES, Principal, check_scopes
from .secrets import Passwords
from .tokens import Token, Tokens
from .writing import acting_from, log_failed_sign_in

__all__ = [
    "ANYBODY",
    "SCOPES",
    "Access",
    "Account",
    "Accounts",
    "ApiKey",
    "ApiKeys",
    "Attempts",
    "Attendance",
    "AttendanceRecord",
    "IdempotencyRecords",
    "Job",
    "Jobs",
    "Lockout",
    "Passwords",
    "Principal",
    "Progress",
    "SignIn",
    "SignInTarget",
    "StoredResponse",
    "Token",
    "Tokens",
    "acting_from",
    "check_scopes",
    "log_failed_sign_in",
]
