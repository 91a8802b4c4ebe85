"""Who may do what in a server: accounts, passwords, API keys, tokens, attempts; in the gallery's database.

It stands above the store and below the server, so that the command line manages the same accounts and keys.
"""

from .access import Access, SignIn
from .accounts import Account, Accounts
from .attempts import Attempts, Lockout, Tried
from .attendance import Attendance, AttendanceRecord
from .keys import ApiKey, ApiKeys
from .notes import acting_from, note_failed
from .passwords import Passwords
from .principals import ANYBODY, SCOPES, Principal, checked_scopes
from .replies import Replies, Reply
from .tokens import Token, Tokens

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
    "Lockout",
    "Passwords",
    "Principal",
    "Replies",
    "Reply",
    "SignIn",
    "Token",
    "Tokens",
    "Tried",
    "acting_from",
    "checked_scopes",
    "note_failed",
]
