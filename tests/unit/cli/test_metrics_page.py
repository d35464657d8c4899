"""docs/metrics.md names the metrics that there are."""

from raylog.cli.metrics_page import DOCUMENT, document


def test_the_page_is_what_the_source_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "Run python -m raylog.cli.metrics_page."
