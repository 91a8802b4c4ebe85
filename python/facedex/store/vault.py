"""Encryption of templates, photos and files with AES-256-GCM; the only file that names the library for it.

The gallery's key encrypts no template. HKDF-SHA-256 derives from it a key for each purpose, bound to the gallery; one
of these wraps a random data key for each person, and that one encrypts the person's templates and photos. The
associated data of a ciphertext is what it belongs to: a person's id for a data key; gallery, person, face and pack for
a template; gallery, person and photo for a photo. A ciphertext that was altered or moved to another row cannot be
decrypted. Nonces are random, 96 bits: NIST SP 800-38D allows 2**32 under one key, and the most used key wraps one data
key for each person.

Not encrypted, because the database looks up, lists and sorts by them: ids, names, e-mail addresses, free info, times,
boxes of faces, file names of photos, and the entries of the audit. Put a gallery on an encrypted disk when these are
secrets too.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from ..config import KEY_BYTES, key_from, settings
from ..errors import (
    ArgumentError,
    EncryptionUnavailableError,
    IndexFileError,
    PhotoIntegrityError,
    TemplateIntegrityError,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KeyInput = bytes | str | Callable[[], bytes | str]
"""A gallery's key: 32 bytes, these in base64, or a callable that returns either."""

_FORMAT = b"\x01"  # before every ciphertext: AES-256-GCM, nonce, ciphertext and tag
_NONCE = 12
_FILE = b"fdxsealed\x01"
_SALT = 16
_CHUNK = 1 << 22  # bytes of a file encrypted at once; each chunk has its own tag


def key_of(given: KeyInput | None) -> bytes | None:
    """Return the key of the caller or the environment.

    Parameters
    ----------
    given : bytes, str, callable or None
        None for that of ``FACEDEX_KEY``.

    Returns
    -------
    bytes or None
        None when there is none.

    Raises
    ------
    ArgumentError
        When it is not 32 bytes. The key is never shown.
    """
    if given is None:
        return settings().key
    key: object = given() if callable(given) else given
    if isinstance(key, str):
        return key_from(key, "key")
    if not isinstance(key, (bytes, bytearray)) or len(key) != KEY_BYTES:
        found = f"{len(key)} bytes" if isinstance(key, (bytes, bytearray)) else type(key).__name__
        raise ArgumentError(
            f"key must be {KEY_BYTES} bytes, these in base64, or a callable that returns either, got {found}"
        )
    return bytes(key)


class Vault:
    """Encrypts and decrypts with the key of one gallery.

    Parameters
    ----------
    key : bytes
        The gallery's key, 32 bytes.
    gallery : str
        The gallery's uuid, in hexadecimal.

    Attributes
    ----------
    audit_key : bytes
        Signs the audit.

    Raises
    ------
    EncryptionUnavailableError
        When the package ``cryptography`` is not installed.
    """

    def __init__(self, key: bytes, gallery: str) -> None:
        self._gallery = gallery
        self._people = _cipher(derive_key(key, bytes.fromhex(gallery), b"facedex data keys"))
        self._checks = _cipher(derive_key(key, bytes.fromhex(gallery), b"facedex seal"))
        self._files = derive_key(key, bytes.fromhex(gallery), b"facedex files")
        self.audit_key = derive_key(key, bytes.fromhex(gallery), b"facedex audit")

    @cached_property
    def key_check(self) -> bytes:
        """A piece that only this key opens; the gallery's row keeps one."""
        return _encrypt(self._checks, b"", self._gallery.encode())

    def matches(self, key_check: bytes) -> bool:
        """Return whether this key made that check value."""
        try:
            _decrypt(self._checks, key_check, self._gallery.encode())
        except _decryption_errors():
            return False
        return True

    def new_data_key(self, key: str, is_int: bool) -> bytes:
        """Return a new data key for a person, wrapped."""
        return self.wrap(os.urandom(KEY_BYTES), key, is_int)

    def wrap(self, data_key: bytes, key: str, is_int: bool) -> bytes:
        """Wrap a data key for the person of that id."""
        return _encrypt(self._people, data_key, self._person(key, is_int))

    def unwrap(self, wrapped: bytes | None, key: str, is_int: bool) -> bytes:
        """Return the data key of a person.

        Raises
        ------
        TemplateIntegrityError
            When it was altered or is another person's.
        """
        try:
            return _decrypt(self._people, wrapped or b"", self._person(key, is_int))
        except _decryption_errors() as error:
            raise TemplateIntegrityError(
                f"the stored key of {key!r} was altered or is another person's; restore the database from a backup"
            ) from error

    def person_cipher(self, wrapped: bytes | None, key: str, is_int: bool) -> PersonCipher:
        """Return the cipher of one person.

        Raises
        ------
        TemplateIntegrityError
            When the person's key was altered or is another's.
        """
        return PersonCipher(self.unwrap(wrapped, key, is_int), self._gallery)

    def encrypt_file(self, content: memoryview, owner: str) -> Iterator[bytes]:
        """Encrypt a file, in pieces to be written one after the other.

        Parameters
        ----------
        content : memoryview of bytes
        owner : str
            Owner of the file; needed again to decrypt it.
        """
        data = content.cast("B")
        salt = os.urandom(_SALT)
        yield _FILE + salt
        cipher = _cipher(derive_key(self._files, salt, b"file"))
        count = max(1, -(-len(data) // _CHUNK))
        for number in range(count):
            piece = data[number * _CHUNK : (number + 1) * _CHUNK]
            yield cipher.encrypt(_chunk_nonce(number, number == count - 1), piece, owner.encode())

    def decrypt_file(self, encrypted: memoryview, owner: str, name: str) -> bytearray:
        """Decrypt a file.

        Raises
        ------
        IndexFileError
            When it is not encrypted, was altered or cut short, or is another's.
        """
        data = encrypted.cast("B")
        head = len(_FILE) + _SALT
        if bytes(data[: len(_FILE)]) != _FILE or len(data) < head:
            raise IndexFileError(f"{name} is not an encrypted file, and the gallery is encrypted")
        cipher = _cipher(derive_key(self._files, bytes(data[len(_FILE) : head]), b"file"))
        body, piece = data[head:], _CHUNK + 16
        content = bytearray()
        count = max(1, -(-len(body) // piece))
        try:
            for number in range(count):
                part = body[number * piece : (number + 1) * piece]
                content += cipher.decrypt(_chunk_nonce(number, number == count - 1), part, owner.encode())
        except _decryption_errors() as error:
            raise IndexFileError(f"{name} was altered, or is encrypted with another key") from error
        return content

    def encrypt_stream(self, content: Iterable[bytes], owner: str) -> Iterator[bytes]:
        """Encrypt a file as `encrypt_file` does, without the whole in memory."""
        salt = os.urandom(_SALT)
        yield _FILE + salt
        cipher = _cipher(derive_key(self._files, salt, b"file"))
        buffer, number = bytearray(), 0
        for piece in content:
            buffer += piece
            while len(buffer) > _CHUNK:  # the last chunk is marked, so one stays in the buffer
                yield cipher.encrypt(_chunk_nonce(number, False), bytes(buffer[:_CHUNK]), owner.encode())
                del buffer[:_CHUNK]
                number += 1
        yield cipher.encrypt(_chunk_nonce(number, True), bytes(buffer), owner.encode())

    def decrypt_stream(self, file: BinaryIO, owner: str, name: str) -> Iterator[bytes]:
        """Decrypt a file from its present position, without the whole in memory.

        Raises
        ------
        IndexFileError
            As in `decrypt_file`, at the first wrong piece; the pieces before it were valid.
        """
        head = file.read(len(_FILE) + _SALT)
        if head[: len(_FILE)] != _FILE or len(head) < len(_FILE) + _SALT:
            raise IndexFileError(f"{name} is not an encrypted file")
        cipher = _cipher(derive_key(self._files, head[len(_FILE) :], b"file"))
        number, part = 0, file.read(_CHUNK + 16)
        while True:
            after = file.read(_CHUNK + 16)
            try:
                content = cipher.decrypt(_chunk_nonce(number, not after), part, owner.encode())
            except _decryption_errors() as error:
                raise IndexFileError(f"{name} was altered, or is encrypted with another key") from error
            yield content
            if not after:
                return
            number, part = number + 1, after

    def _person(self, key: str, is_int: bool) -> bytes:
        return f"person|{self._gallery}|{int(is_int)}|{key}".encode()


class PersonCipher:
    """Encrypts and decrypts the templates and photos of one person.

    Parameters
    ----------
    data_key : bytes
    gallery : str
        The gallery's uuid.
    """

    def __init__(self, data_key: bytes, gallery: str) -> None:
        self._cipher = _cipher(data_key)
        self._gallery = gallery

    def encrypt(self, vector: bytes, face_id: int, person_row: int, pack: str) -> bytes:
        """Encrypt the template of a face."""
        return _encrypt(self._cipher, vector, self._template(face_id, person_row, pack))

    def decrypt(self, encrypted: bytes, face_id: int, person_row: int, pack: str) -> bytes:
        """Decrypt the template of a face.

        Raises
        ------
        TemplateIntegrityError
            When it was altered, or is another face's, person's, pack's or gallery's.
        """
        try:
            return _decrypt(self._cipher, encrypted, self._template(face_id, person_row, pack))
        except _decryption_errors() as error:
            raise TemplateIntegrityError(
                f"the stored template of face {face_id} was altered or is another's; "
                "restore the database from a backup",
                face_id=face_id,
            ) from error

    def encrypt_photo(self, content: bytes, photo_id: int, person_row: int) -> bytes:
        """Encrypt a photo."""
        return _encrypt(self._cipher, content, self._photo(photo_id, person_row))

    def decrypt_photo(self, encrypted: bytes, photo_id: int, person_row: int) -> bytes:
        """Decrypt a photo.

        Raises
        ------
        PhotoIntegrityError
            When it was altered, or is another person's or gallery's.
        """
        try:
            return _decrypt(self._cipher, encrypted, self._photo(photo_id, person_row))
        except _decryption_errors() as error:
            raise PhotoIntegrityError(
                f"the stored photo {photo_id} was altered or is another's; restore the database from a backup",
                photo_id=photo_id,
            ) from error

    def _photo(self, photo_id: int, person_row: int) -> bytes:
        return f"photo|{self._gallery}|{person_row}|{photo_id}".encode()

    def _template(self, face_id: int, person_row: int, pack: str) -> bytes:
        return f"template|{self._gallery}|{person_row}|{face_id}|{pack}".encode()


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise EncryptionUnavailableError(
            "a key was given and the package that encrypts is not installed; pip install 'facedex[crypto]'"
        ) from error
    return AESGCM(key)


def _decryption_errors() -> tuple[type[Exception], ...]:
    """Return the errors of a failed decryption; called only after an error, because the library may be missing."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag, ValueError


def derive_key(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    """Derive a key for a purpose: HKDF (RFC 5869) with SHA-256, one block. Extract, then expand; both are one HMAC."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")


def _encrypt(cipher: AESGCM, content: bytes, belongs_to: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return _FORMAT + nonce + cipher.encrypt(nonce, content, belongs_to)


def _decrypt(cipher: AESGCM, encrypted: bytes, belongs_to: bytes) -> bytes:
    if encrypted[:1] != _FORMAT:
        raise ValueError("not a ciphertext")
    return cipher.decrypt(encrypted[1 : 1 + _NONCE], encrypted[1 + _NONCE :], belongs_to)


def _chunk_nonce(number: int, last: bool) -> bytes:
    """Return the nonce of a chunk: its number, and whether it is the last, so that none can be cut off or moved."""
    return number.to_bytes(_NONCE - 1, "big") + (b"\x01" if last else b"\x00")
