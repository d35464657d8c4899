"""What botocore and aiohttp raise, as Raylog's few errors: what the caller does about it decides the class."""

import asyncio
from collections.abc import Mapping

import aiohttp
from botocore import exceptions as boto

from raylog.model.errors import AlreadyExistsError, InvalidError, NotFoundError, RaylogError, RetryError

_MISSING = frozenset(("NoSuchKey", "404", "NotFound"))
_TAKEN = frozenset(("PreconditionFailed", "412"))
_RETRY = frozenset(
    (
        "SlowDown",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "BandwidthLimitExceeded",
        # Another conditional PUT of the key was under way, or an upload was aborted meanwhile: the whole put is tried again.
        "ConditionalRequestConflict",
        "OperationAborted",
        "NoSuchUpload",
        # A temporary credential that is refreshed before the next attempt.
        "ExpiredToken",
    )
)
_REMEDIES: Mapping[str, str] = {
    "NoSuchBucket": "there is no bucket {bucket}: create it first, or correct the URL",
    "AccessDenied": "access to bucket {bucket} is denied: the credentials need s3:GetObject, s3:PutObject, s3:DeleteObject, "
    "s3:AbortMultipartUpload and s3:ListBucket there",
    "InvalidAccessKeyId": "the access key is unknown there: check AWS_ACCESS_KEY_ID or the AWS profile",
    "SignatureDoesNotMatch": "the secret key is wrong: check AWS_SECRET_ACCESS_KEY or the AWS profile",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "AuthorizationHeaderMalformed": "the region is wrong: name bucket {bucket}'s with ?region= or AWS_REGION",
    "PermanentRedirect": "the region or endpoint is wrong: name bucket {bucket}'s with ?region= or ?endpoint=",
    "NotImplemented": "it lacks a part of S3 that Raylog needs (conditional writes, multipart uploads)",
}
_BY_STATUS = {403: "AccessDenied", 301: "PermanentRedirect"}

TRANSPORT_ERRORS = (boto.BotoCoreError, boto.ClientError, aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What a call of the client or a read of a body's stream can raise."""


def as_own_error(error: Exception, *, url: str, bucket: str, key: str) -> RaylogError:
    """The error to raise ``from`` one of TRANSPORT_ERRORS."""
    if isinstance(error, boto.ClientError):
        return _from_answer(error, url=url, bucket=bucket, key=key)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return InvalidError(
            f"There are no AWS credentials for {url}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    if isinstance(error, boto.ProfileNotFound | boto.ParamValidationError | boto.InvalidRegionError):
        return InvalidError(f"The store {url} cannot be used: {_one_line(error)}.")
    return RetryError(f"The store {url} cannot be reached just now: {_one_line(error)}.")


def _from_answer(error: boto.ClientError, *, url: str, bucket: str, key: str) -> RaylogError:
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _TAKEN or status == 412:
        return AlreadyExistsError(f"The object {key} exists already.")
    if code in _RETRY or (status >= 500 and code not in _REMEDIES) or status in (409, 429):
        return RetryError(f"The store {url} answered {code or status} for {key}.")
    if code in _MISSING:
        return NotFoundError(f"There is no object {key}.")
    remedy = _REMEDIES.get(code) or _REMEDIES.get(_BY_STATUS.get(status, ""))
    if remedy is None:
        remedy = f"it answered {code or status} ({details.get('Message', 'no reason given')}) for {key}"
    return InvalidError(f"The store {url} cannot be used: {remedy.format(bucket=bucket)}.")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
