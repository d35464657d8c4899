"""docs/limits.md says what the limits are, and names none that is not there."""

from dataclasses import fields

from raylog.cli.limits_page import DOCUMENT, document, limit_names, names_mentioned
from raylog.model.broker_config import BROKER_CONFIGS
from raylog.model.limits import Limits


def test_the_page_is_what_the_source_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "Run python -m raylog.cli.limits_page."


def test_every_group_and_every_limit_is_on_it() -> None:
    assert {name.partition(".")[0] for name in limit_names()} == {field.name for field in fields(Limits)}
    for name in limit_names():
        assert f"| `{name}` |" in document()


def test_what_is_held_is_held_by_limits_and_settings_that_there_are() -> None:
    assert names_mentioned() <= limit_names() | set(BROKER_CONFIGS)
