"""What docs/elasticity.md says of the experiments and their keys is there."""

import re
from pathlib import Path

import yaml

from lab.experiment import Kind
from lab.experiment_file import parse
from lab.shipped import all_shipped

PAGE = (Path(__file__).parents[3] / "docs" / "elasticity.md").read_text(encoding="utf-8")


def test_the_page_has_every_shipped_experiment() -> None:
    assert all(f"`{one.name}`" in PAGE for one in all_shipped())


def test_the_pages_example_is_one_that_can_be_run() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(parse(example, "example", "docs/elasticity.md").events) == 2


def test_the_page_has_every_event_and_shape() -> None:
    assert all(f"| `{kind.value}` |" in PAGE for kind in Kind)
    shapes = {load.get("shape", "steady") for one in all_shipped() for load in yaml.safe_load(one.source)["load"]}
    assert all(f"| `{shape}` |" in PAGE for shape in shapes)
