"""What is particular to S3: settings from where AWS users put them, requests as sent, answers as errors, bodies in parts."""

import asyncio
import io
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from botocore import exceptions as boto
from botocore.awsrequest import AWSPreparedRequest

from raylog.model.errors import AlreadyExistsError, InvalidError, NotFoundError, RaylogError, RetryError
from raylog.model.limits import MIB, StoreLimits
from raylog.storage.s3_body import BuffersPayload
from raylog.storage.s3_errors import as_own_error
from raylog.storage.s3_store import S3Location, S3Store, cut_body

Handler = Callable[[web.Request], web.Response]


@asynccontextmanager
async def stub_s3(handler: Handler, **location: object) -> AsyncIterator[tuple[S3Store, list[web.Request]]]:
    """A store whose S3 is ``handler``, and the requests that it has got."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request)
        return handler(request)

    app = web.Application(client_max_size=100 * MIB)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    values = {"bucket": "bucket", "endpoint": endpoint, **location}
    store = await S3Store.open(S3Location(**values), StoreLimits(multipart_bytes_min=6 * MIB, part_bytes=5 * MIB))
    try:
        yield store, seen
    finally:
        await store.close()
        await runner.cleanup()


def answer(status: int, code: str = "", *, text: str | None = None, **headers: str) -> web.Response:
    body = f"<Error><Code>{code}</Code><Message>because</Message></Error>" if text is None else text
    return web.Response(status=status, text=body, content_type="application/xml", headers=headers)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (412, "PreconditionFailed", AlreadyExistsError),
        (409, "ConditionalRequestConflict", RetryError),
        (503, "SlowDown", RetryError),
        (500, "InternalError", RetryError),
        (502, "", RetryError),
        (429, "TooManyRequests", RetryError),
        (400, "RequestTimeout", RetryError),
        (400, "ExpiredToken", RetryError),
        (404, "NoSuchBucket", InvalidError),
        (403, "AccessDenied", InvalidError),
        (403, "InvalidAccessKeyId", InvalidError),
        (403, "SignatureDoesNotMatch", InvalidError),
        (403, "RequestTimeTooSkewed", InvalidError),
        (501, "NotImplemented", InvalidError),
        (400, "SomethingElse", InvalidError),
    ],
)
@pytest.mark.usefixtures("aws_keys")
async def test_an_answer_becomes_the_error_that_says_what_to_do(
    status: int, code: str, error: type[RaylogError]
) -> None:
    async with stub_s3(lambda _: answer(status, code)) as (store, seen):
        with pytest.raises(error) as raised:
            await store.put_if_absent("k", [b"x"])
        assert len(seen) == 1, "botocore's own retries are off"
    sentence = str(raised.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "bucket" in sentence or "object" in sentence


@pytest.mark.usefixtures("aws_keys")
@pytest.mark.parametrize("last", [b"345", bytes(MIB)])
async def test_a_conditional_put_says_so_and_a_plain_one_does_not(last: bytes) -> None:
    async with stub_s3(lambda _: web.Response(headers={"ETag": '"e"'})) as (store, seen):
        await store.put_if_absent("a/b c", [b"12", last])
        await store.put("a/b c", [b"12", last])
    conditional, plain = seen
    assert conditional.headers["If-None-Match"] == "*"
    assert "If-None-Match" not in plain.headers
    for request in seen:
        assert request.method == "PUT"
        assert request.raw_path == "/bucket/a/b%20c"
        assert await request.read() == b"12" + last
        assert request.content_length == 2 + len(last)
        assert not [name for name in request.headers if "checksum" in name.lower() or name == "Expect"]


@pytest.mark.usefixtures("aws_keys")
async def test_connections_are_used_again() -> None:
    async with stub_s3(lambda _: web.Response(headers={"ETag": '"e"'})) as (store, seen):
        for number in range(10):
            await store.put(f"k/{number}", [b"x"])
        assert len({id(request.transport) for request in seen}) == 1


@pytest.mark.usefixtures("aws_keys")
async def test_an_endpoint_that_is_away_is_an_error_to_try_again() -> None:
    location = S3Location(bucket="bucket", endpoint="http://127.0.0.1:1")
    store = await S3Store.open(location, StoreLimits())
    with pytest.raises(RetryError, match="cannot be reached just now"):
        await store.get("k")
    await store.close()


async def test_without_credentials_the_sentence_says_where_to_put_them(
    aws_keys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = await S3Store.open(S3Location(bucket="bucket", endpoint="http://127.0.0.1:1"), StoreLimits())
    with pytest.raises(InvalidError, match="set AWS_ACCESS_KEY_ID"):
        await store.get("k")
    await store.close()
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(InvalidError, match="absent"):
        await S3Store.open(S3Location(bucket="bucket"), StoreLimits())


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "ftp//x"])
@pytest.mark.usefixtures("aws_keys")
async def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidError, match="correct its endpoint"):
        await S3Store.open(S3Location(bucket="bucket", endpoint=endpoint), StoreLimits())


@pytest.mark.parametrize(
    ("variables", "location", "url"),
    [
        ({}, {}, "https://bucket.s3.amazonaws.com/k"),
        ({"AWS_REGION": "eu-west-1"}, {}, "https://bucket.s3.eu-west-1.amazonaws.com/k"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, {}, "https://bucket.s3.eu-west-2.amazonaws.com/k"),
        ({"AWS_REGION": "eu-west-1"}, {"region": "eu-north-1"}, "https://bucket.s3.eu-north-1.amazonaws.com/k"),
        ({}, {"path_style": True, "region": "eu-north-1"}, "https://s3.eu-north-1.amazonaws.com/bucket/k"),
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, {}, "http://minio:9000/bucket/k"),
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "http://b:2"}, {}, "http://b:2/bucket/k"),
        ({"AWS_ENDPOINT_URL": "http://a:1"}, {"endpoint": "http://b:2"}, "http://b:2/bucket/k"),
        ({}, {"endpoint": "http://b:2", "path_style": False}, "http://bucket.b:2/k"),
    ],
)
async def test_endpoint_region_and_style_come_from_where_aws_users_put_them(
    aws_keys: None,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    location: dict[str, object],
    url: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = await S3Store.open(S3Location(bucket="bucket", **location), StoreLimits())
    sent = []

    def stop(request: AWSPreparedRequest, **_: object) -> None:
        sent.append(request.url)
        raise boto.EndpointConnectionError(endpoint_url=request.url)

    store._client.meta.events.register("before-send.s3.GetObject", stop)
    with pytest.raises(RetryError):
        await store.get("k")
    assert sent == [url]
    await store.close()


@pytest.mark.usefixtures("aws_keys")
async def test_an_upload_whose_part_fails_is_aborted() -> None:
    def handle(request: web.Request) -> web.Response:
        if request.method == "POST" and "uploads" in request.query:
            return answer(
                200, text="<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            )
        if request.method == "PUT" and request.query["partNumber"] == "2":
            return answer(503, "SlowDown")
        return web.Response(status=204 if request.method == "DELETE" else 200, headers={"ETag": '"e"'})

    async with stub_s3(handle) as (store, seen):
        with pytest.raises(RetryError):
            await store.put_if_absent("k", [bytes(12 * MIB)])
        assert [request.query["uploadId"] for request in seen if request.method == "DELETE"] == ["u1"]
        assert not [request for request in seen if request.method == "POST" and "uploadId" in request.query]


@pytest.mark.usefixtures("aws_keys")
async def test_an_upload_that_is_cancelled_is_aborted() -> None:
    started = asyncio.Event()

    def handle(request: web.Request) -> web.Response:
        if request.method == "POST":
            return answer(
                200, text="<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            )
        started.set()
        return web.Response(status=204 if request.method == "DELETE" else 200, headers={"ETag": '"e"'})

    async with stub_s3(handle) as (store, seen):
        put = asyncio.create_task(store.put_if_absent("k", [bytes(30 * MIB)]))
        await started.wait()
        put.cancel()
        await asyncio.gather(put, return_exceptions=True)
        assert put.cancelled()
        assert [request.query["uploadId"] for request in seen if request.method == "DELETE"] == ["u1"]


@pytest.mark.usefixtures("aws_keys")
async def test_an_upload_ends_conditionally_with_all_its_parts() -> None:
    def handle(request: web.Request) -> web.Response:
        if "uploads" in request.query:
            return answer(
                200, text="<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            )
        if request.method == "POST":
            return answer(412, "PreconditionFailed")
        return web.Response(status=204 if request.method == "DELETE" else 200, headers={"ETag": '"e"'})

    async with stub_s3(handle) as (store, seen):
        with pytest.raises(AlreadyExistsError):
            await store.put_if_absent("k", [bytes(MIB)] * 12)
        completed = next(request for request in seen if request.method == "POST" and "uploadId" in request.query)
        assert completed.headers["If-None-Match"] == "*"
        assert (await completed.text()).count("<PartNumber>") == 3
        sizes = sorted(request.content_length or 0 for request in seen if request.method == "PUT")
        assert sizes == [2 * MIB, 5 * MIB, 5 * MIB]


@pytest.mark.usefixtures("aws_keys")
async def test_a_delete_that_failed_for_one_key_fails() -> None:
    failed = "<DeleteResult><Error><Key>k/2</Key><Code>{}</Code><Message>no</Message></Error></DeleteResult>"
    for code, error in (("InternalError", RetryError), ("AccessDenied", InvalidError)):
        async with stub_s3(lambda _, code=code: answer(200, text=failed.format(code))) as (store, _):
            with pytest.raises(error):
                await store.delete(["k/1", "k/2"])


@pytest.mark.usefixtures("aws_keys")
async def test_a_body_cut_short_on_the_way_is_an_error_to_try_again() -> None:
    class Cut(web.Response):
        async def prepare(self, request: web.BaseRequest) -> None:
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\n\r\nonly this")
            request.transport.close()

    async with stub_s3(lambda _: Cut()) as (store, _):
        with pytest.raises(RetryError):
            await store.get("k", length=100)


@pytest.mark.usefixtures("aws_keys")
async def test_a_directory_buckets_unsorted_listing_is_sorted_and_folder_markers_are_left_out() -> None:
    names = ["p/log/3", "p/log/1", "p/log/", "p/log/20", "p/log/2"]
    found = "".join(
        f"<Contents><Key>{name}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        for name in names
    )

    def handle(request: web.Request) -> web.Response:
        assert request.query["prefix"] == "p/log/"
        assert "start-after" not in request.query
        return answer(200, text=f"<ListBucketResult>{found}</ListBucketResult>")

    async with stub_s3(handle, prefix="p") as (store, _):
        store._is_sorted = False
        assert [meta.key async for meta in store.list("log/", start_after="log/1")] == ["log/2", "log/20", "log/3"]
        assert [meta.key async for meta in store.list("log/2")] == ["log/2", "log/20"]


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (boto.NoCredentialsError(), InvalidError),
        (boto.ReadTimeoutError(endpoint_url="http://x"), RetryError),
        (boto.ConnectTimeoutError(endpoint_url="http://x"), RetryError),
        (boto.CredentialRetrievalError(provider="p", error_msg="away"), RetryError),
        (TimeoutError(), RetryError),
        (ConnectionResetError(104, "Connection reset by peer"), RetryError),
        (
            boto.ClientError({"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "HeadObject"),
            NotFoundError,
        ),
    ],
)
def test_errors_on_the_way_are_told_apart(error: Exception, own: type[RaylogError]) -> None:
    made = as_own_error(error, url="s3://bucket", bucket="bucket", key="k")
    assert type(made) is own
    assert str(made).endswith(".")


def random_buffers(rng: random.Random) -> Iterator[bytes]:
    for _ in range(rng.randrange(8)):
        yield rng.randbytes(rng.choice((0, 1, 5, 17, 64)))


@pytest.mark.parametrize("seed", range(20))
def test_a_body_read_as_a_file_is_the_buffers_joined(seed: int) -> None:
    rng = random.Random(seed)
    buffers = list(random_buffers(rng))
    body, file = BuffersPayload(buffers), io.BytesIO(b"".join(buffers))
    assert len(body) == body.size == len(file.getvalue())
    for _ in range(30):
        if rng.random() < 0.3:
            position = rng.randrange(len(body) + 1)
            assert body.seek(position) == file.seek(position)
        size = rng.choice((-1, 0, 1, 7, 30))
        assert body.read(size) == file.read(size)
        assert body.tell() == file.tell()
    assert body.seek(0, io.SEEK_END) == len(body)
    assert body.decode("latin-1").encode("latin-1") == file.getvalue()


@pytest.mark.parametrize("seed", range(20))
def test_cutting_a_body_keeps_its_bytes_and_the_size_of_its_parts(seed: int) -> None:
    rng = random.Random(seed)
    buffers = [*random_buffers(rng), b"x"]
    parts = [b"".join(part) for part in cut_body(buffers, 13)]
    assert b"".join(parts) == b"".join(buffers)
    assert all(len(part) == 13 for part in parts[:-1])
    assert 0 < len(parts[-1]) <= 13
