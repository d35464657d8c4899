"""A bucket on S3, or on anything that speaks its protocol and honours ``If-None-Match: *``, through aioboto3.

One client is kept open for the process and its connections are used again. botocore's own retries are off: RetryingStore
decides, because a repeated conditional PUT needs more thought than botocore gives it. Checksums are sent only where S3
demands them: TLS guards the way, and Raylog's objects carry their own. A large body goes up in parts and appears at once; what a
failure leaves of it is aborted.

Endpoint, region and credentials come from where AWS users put them (environment, profile, instance role); the URL may name
endpoint, region and addressing style. Import this module only for an S3 bucket: aioboto3 costs half a second and 35 MB.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError

from raylog.model.buffers import Buffer
from raylog.model.errors import InvalidError
from raylog.model.limits import StoreLimits
from raylog.protocol.file_range import FileRange
from raylog.storage.object_key import check_key
from raylog.storage.object_store import ObjectMeta, Priority
from raylog.storage.s3_body import BuffersPayload
from raylog.storage.s3_errors import TRANSPORT_ERRORS, as_own_error

T = TypeVar("T")

_DELETE_KEYS_MAX = 1000
_JOINED_BYTES_MAX = 256 * 1024
_CONNECT_S_MAX = 5
_READ_S_MAX = 30
_DIRECTORY_BUCKET_SUFFIX = "--x-s3"
"""S3 Express: listings are not sorted there, and prefixes are folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Location:
    bucket: str
    prefix: str = ""
    """Without a slash at either end; empty: the bucket's root."""
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    """None: path style for a named endpoint, as look-alikes rarely have a DNS name per bucket."""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


class S3Store:
    def __init__(self, location: S3Location, client: Any, exits: AsyncExitStack, limits: StoreLimits) -> None:
        self._location = location
        self._client = client
        self._exits = exits
        self._limits = limits
        self._root = f"{location.prefix}/" if location.prefix else ""
        self._is_sorted = not location.bucket.endswith(_DIRECTORY_BUCKET_SUFFIX)

    @classmethod
    async def open(cls, location: S3Location, limits: StoreLimits) -> "S3Store":
        """Make the client; nothing is sent yet. Raises InvalidError for settings that cannot work."""
        exits = AsyncExitStack()
        try:
            session = aioboto3.Session()
            client = await exits.enter_async_context(
                session.client(
                    "s3",
                    endpoint_url=location.endpoint,
                    region_name=location.region or os.environ.get("AWS_REGION") or session.region_name or "us-east-1",
                    config=_client_config(location, limits),
                )
            )
        except TRANSPORT_ERRORS as error:
            raise as_own_error(error, url=location.url, bucket=location.bucket, key="") from error
        except ValueError as error:
            raise InvalidError(f"The store {location.url} cannot be used: {error}; correct its endpoint.") from error
        client.meta.events.register_last("before-call.s3", _send_at_once)
        return cls(location, client, exits, limits)

    @property
    def url(self) -> str:
        return self._location.url

    async def put(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.TAIL) -> None:
        await self._put(key, body, {})

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        await self._put(key, body, {"IfNoneMatch": "*"})

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        if length == 0:
            await self.head(key)
            return b""
        return await self._get(key, f"bytes={start}-{'' if length is None else start + length - 1}")

    @property
    def has_files(self) -> bool:
        return False

    def file_range(self, key: str, start: int, length: int) -> FileRange | None:
        return None

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        if length == 0:
            await self.head(key)
            return b""
        return await self._get(key, f"bytes=-{length}")

    async def head(self, key: str) -> ObjectMeta:
        answer = await self._call(key, self._client.head_object(Bucket=self._location.bucket, Key=self._path(key)))
        return _meta(key, answer["ContentLength"], answer["LastModified"])

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        if not self._is_sorted:
            for meta in await self._list_directory_bucket(prefix, start_after):
                yield meta
            return
        params = {"StartAfter": self._root + start_after} if start_after else {}
        pages = self._pages(self._root + prefix, params)
        async for meta in pages:
            yield meta

    async def delete(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), _DELETE_KEYS_MAX):
            names = [{"Key": self._path(key)} for key in keys[first : first + _DELETE_KEYS_MAX]]
            call = self._client.delete_objects(Bucket=self._location.bucket, Delete={"Objects": names, "Quiet": True})
            answer = await self._call(keys[first], call)
            for failed in answer.get("Errors", ()):
                error = ClientError({"Error": failed, "ResponseMetadata": {}}, "DeleteObjects")
                raise as_own_error(error, url=self.url, bucket=self._location.bucket, key=str(failed.get("Key")))

    async def close(self) -> None:
        await self._exits.aclose()

    def _path(self, key: str) -> str:
        return self._root + check_key(key)

    async def _call(self, key: str, call: Awaitable[T]) -> T:
        try:
            return await call
        except TRANSPORT_ERRORS as error:
            raise as_own_error(error, url=self.url, bucket=self._location.bucket, key=key) from error

    async def _put(self, key: str, body: Sequence[Buffer], condition: dict[str, str]) -> None:
        path = self._path(key)
        size = sum(len(memoryview(buffer).cast("B")) for buffer in body)
        if size > self._limits.multipart_bytes_min:
            await self._put_parts(key, body, condition)
            return
        call = self._client.put_object(
            Bucket=self._location.bucket, Key=path, Body=_request_body(body, size), ContentLength=size, **condition
        )
        await self._call(key, call)

    async def _put_parts(self, key: str, body: Sequence[Buffer], condition: dict[str, str]) -> None:
        where = {"Bucket": self._location.bucket, "Key": self._path(key)}
        upload = await self._call(key, self._client.create_multipart_upload(**where))
        where["UploadId"] = upload["UploadId"]
        try:
            places = asyncio.Semaphore(self._limits.parts_max_in_flight)

            async def put_part(number: int, part: Sequence[Buffer]) -> dict[str, Any]:
                async with places:
                    answer = await self._call(
                        key, self._client.upload_part(**where, PartNumber=number, Body=BuffersPayload(part))
                    )
                return {"PartNumber": number, "ETag": answer["ETag"]}

            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(put_part(number, part))
                    for number, part in enumerate(cut_body(body, self._limits.part_bytes), start=1)
                ]
            parts = {"Parts": [task.result() for task in tasks]}
            await self._call(key, self._client.complete_multipart_upload(**where, MultipartUpload=parts, **condition))
        except BaseException as error:
            await self._abort(where)
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from error
            raise

    async def _abort(self, where: dict[str, str]) -> None:
        try:
            await self._client.abort_multipart_upload(**where)
        except TRANSPORT_ERRORS:
            return  # The bucket's lifecycle rule removes what an abort could not.

    async def _get(self, key: str, byte_range: str) -> bytes:
        call = self._client.get_object(Bucket=self._location.bucket, Key=self._path(key), Range=byte_range)
        try:
            answer = await call
            async with answer["Body"] as stream:
                return bytes(await stream.read())
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "InvalidRange":
                return b""  # The object exists and ends before the range begins.
            raise as_own_error(error, url=self.url, bucket=self._location.bucket, key=key) from error
        except TRANSPORT_ERRORS as error:
            raise as_own_error(error, url=self.url, bucket=self._location.bucket, key=key) from error

    async def _pages(self, prefix: str, params: dict[str, str]) -> AsyncIterator[ObjectMeta]:
        call = {"Bucket": self._location.bucket, "Prefix": prefix, **params}
        while True:
            page = await self._call(prefix, self._client.list_objects_v2(**call))
            for found in page.get("Contents", ()):
                if found["Key"].endswith("/"):
                    continue  # A folder's marker, as consoles make them: no object of ours.
                yield _meta(found["Key"][len(self._root) :], found["Size"], found["LastModified"])
            if not page.get("IsTruncated"):
                return
            call["ContinuationToken"] = page["NextContinuationToken"]

    async def _list_directory_bucket(self, prefix: str, start_after: str) -> Sequence[ObjectMeta]:
        folder = prefix[: prefix.rfind("/") + 1]
        found = [meta async for meta in self._pages(self._root + folder, {})]
        return sorted(
            (meta for meta in found if meta.key.startswith(prefix) and meta.key > start_after),
            key=lambda meta: meta.key,
        )


def _client_config(location: S3Location, limits: StoreLimits) -> AioConfig:
    # botocore reads these variables itself; they are looked at for what follows from them.
    endpoint = location.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    is_path = bool(endpoint) if location.path_style is None else location.path_style
    s3: dict[str, Any] = {"addressing_style": "path" if is_path else "virtual"}
    if not endpoint.startswith("http:"):
        # Hashing each body costs more than all the rest of a PUT, and TLS guards it already.
        s3["payload_signing_enabled"] = False
    return AioConfig(
        connect_timeout=_CONNECT_S_MAX,
        read_timeout=_READ_S_MAX,
        retries={"total_max_attempts": 1},
        max_pool_connections=limits.requests_max + limits.parts_max_in_flight,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3=s3,
        user_agent_extra="raylog",
    )


def _send_at_once(params: dict[str, Any], **_: object) -> None:
    """botocore asks S3's leave (``Expect: 100-continue``) before it sends a body that is no bytes: one round trip more."""
    params["headers"].pop("Expect", None)


def _request_body(body: Sequence[Buffer], size: int) -> bytes | BuffersPayload:
    """Small bodies are joined, which costs less than their pieces; measured, 8 MiB unjoined save a third of a PUT's CPU."""
    return b"".join(body) if size <= _JOINED_BYTES_MAX else BuffersPayload(body)


def cut_body(body: Sequence[Buffer], part_bytes: int) -> list[list[memoryview]]:
    """The body in parts of ``part_bytes`` (the last one shorter), without copying."""
    parts: list[list[memoryview]] = [[]]
    room = part_bytes
    for buffer in body:
        view = memoryview(buffer).cast("B")
        while len(view):
            if room == 0:
                parts.append([])
                room = part_bytes
            parts[-1].append(view[:room])
            taken = min(room, len(view))
            view, room = view[taken:], room - taken
    return parts


def _meta(key: str, size: int, modified: Any) -> ObjectMeta:
    return ObjectMeta(key=key, size=size, modified_ms=int(modified.timestamp() * 1000))
