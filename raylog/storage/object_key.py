"""What an object's key may be, the same on every backend, so that a bucket can be copied from one kind of store to another."""

from raylog.model.errors import InvalidError

KEY_BYTES_MAX = 1024
"""S3's limit."""
SEGMENT_BYTES_MAX = 255
"""A file name's limit on the usual file systems."""


def check_key(key: str) -> str:
    """``key`` itself, or InvalidError: printable, ``/``-separated non-empty segments, none of them ``.`` or ``..``."""
    try:
        encoded = key.encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"The object key {key!r} is not valid Unicode.") from error
    if not 0 < len(encoded) <= KEY_BYTES_MAX:
        raise InvalidError(f"An object key has 1 to {KEY_BYTES_MAX} bytes, not {len(encoded)}.")
    if not key.isprintable():
        raise InvalidError(f"The object key {key!r} has unprintable characters.")
    for segment in key.split("/"):
        if segment in ("", ".", "..") or len(segment.encode()) > SEGMENT_BYTES_MAX:
            raise InvalidError(f"The object key {key!r} has a segment that cannot be a file's name: {segment!r}.")
    return key


def is_key(text: str) -> bool:
    """Whether an object could have this key."""
    try:
        check_key(text)
    except InvalidError:
        return False
    return True
