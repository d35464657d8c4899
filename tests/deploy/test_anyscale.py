"""deploy/anyscale, as Anyscale's own models (the ``anyscale`` package) take it. They refuse unknown fields."""

import shlex
from typing import Any

import pytest

from tests.deploy import commands
from tests.deploy.manifests import DEPLOY, REPOSITORY, load

_FOLDER = DEPLOY / "anyscale"


@pytest.fixture(scope="module")
def models() -> Any:
    from anyscale.compute_config.models import ComputeConfig
    from anyscale.job.models import JobConfig

    return {"compute.yaml": ComputeConfig, "job.yaml": JobConfig}


@pytest.mark.parametrize("name", ["compute.yaml", "job.yaml"])
def test_anyscale_takes_the_file(models: Any, name: str) -> None:
    read = models[name].from_dict(load(_FOLDER / name))
    assert (
        read.to_dict().items()
        >= {k: v for k, v in load(_FOLDER / name).items() if not isinstance(v, (dict, list))}.items()
    )


@pytest.mark.parametrize("name", ["compute.yaml", "job.yaml"])
def test_anyscale_refuses_what_is_not_its(models: Any, name: str) -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        models[name].from_dict({**load(_FOLDER / name), "head_nod": {}})


def test_the_job_runs_what_raylog_has_on_what_is_there() -> None:
    job = load(_FOLDER / "job.yaml")
    program, *arguments = shlex.split(job["entrypoint"])
    assert program == "raylog"
    commands.check(arguments)
    assert (REPOSITORY / job["containerfile"]).is_file()
