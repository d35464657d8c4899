"""From URLs to stores: every form opens what it names, every mistake gets one sentence with the remedy."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError
from raylog.storage.object_store import ObjectStore
from raylog.storage.store_url import is_local_url, open_store


async def opened(url: str, registry: CollectorRegistry | None = None) -> ObjectStore:
    return await open_store(url, clock=SystemClock(), rng=Random(1), registry=registry)


@pytest.mark.parametrize("form", ["file://{}", "{}", "file://localhost{}", "{}?hedge=true"])
async def test_a_folder_by_url_or_path(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "some folder"
    url = form.format(str(folder).replace(" ", "%20") if "file:" in form else folder)
    store = await opened(url)
    await store.put("a/b", [b"x"])
    assert (folder / "a" / "b").read_bytes() == b"x"
    assert store.url == folder.as_uri()
    await store.close()
    assert is_local_url(url)


async def test_a_relative_path_is_taken_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = await opened("./data")
    await store.put("k", [b"x"])
    assert (tmp_path / "data" / "k").exists()
    await store.close()


async def test_memory() -> None:
    store = await opened("memory://")
    await store.put("k", [b"x"])
    assert await store.get("k") == b"x"
    assert store.url == "memory://"
    assert not is_local_url("memory://")


async def test_s3_with_a_prefix(s3_endpoint: str, s3_bucket: str) -> None:
    registry = CollectorRegistry()
    store = await opened(f"s3://{s3_bucket}/some/prefix/?endpoint={s3_endpoint}&region=eu-west-1", registry)
    await store.put("url-test", [b"x"])
    assert store.url == f"s3://{s3_bucket}/some/prefix"
    await store.close()
    whole = await opened(f"s3://{s3_bucket}?endpoint={s3_endpoint}&path_style=true")
    assert [meta.key async for meta in whole.list("some/prefix/url")] == ["some/prefix/url-test"]
    await whole.close()
    labels = {"kind": "put", "outcome": "ok"}
    assert registry.get_sample_value("raylog_store_requests_total", labels) == 1


async def test_a_latency_model_makes_any_store_slow() -> None:
    clock = SystemClock()
    store = await opened("memory://?latency=s3-express")
    started = clock.monotonic()
    await store.put("k", [b"x"])
    assert clock.monotonic() > started + 0.001
    await store.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "is empty"),
        ("gs://bucket", "no kind of store 'gs'"),
        ("s3://", "names no bucket"),
        ("s3://key:secret@bucket", "Credentials do not belong"),
        ("s3://bucket?path_style=yes", "'path_style' of the store's URL .* is true or false"),
        ("s3://bucket?regoin=x", "option 'regoin' that s3 does not know: it knows endpoint"),
        ("s3://bucket?region", "not name=value"),
        ("s3://bucket/a#b", "has a fragment"),
        ("file://host/folder", "names a host"),
        ("file:///tmp?endpoint=x", "option 'endpoint' that file does not know"),
        ("memory://?latency=floppy", "no latency model 'floppy'"),
    ],
)
async def test_a_mistake_gets_one_sentence(url: str, sentence: str) -> None:
    with pytest.raises(InvalidError, match=sentence) as raised:
        await opened(url)
    assert str(raised.value).endswith(".")
    assert "secret" not in str(raised.value)


def test_a_local_store_does_not_pay_for_s3() -> None:
    code = "import sys, raylog.storage.store_url; sys.exit('aioboto3' in sys.modules or 'botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
