"""deploy/Dockerfile and Anyscale's Containerfile: hadolint finds nothing, and what matters is so. No image is built here."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from actors.settings import prepare_environment
from tests.deploy import commands
from tests.deploy.manifests import DEPLOY, REPOSITORY

_IMAGES = (DEPLOY / "Dockerfile", DEPLOY / "anyscale" / "Containerfile")


def instructions(path: Path) -> list[tuple[str, str]]:
    """Name and argument of each, continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def of(path: Path, name: str) -> list[str]:
    return [argument for instruction, argument in instructions(path) if instruction == name]


@pytest.mark.parametrize("path", _IMAGES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM python\nRUN pip install raylog\n", encoding="utf-8")
    hadolint = Path(sys.executable).with_name("hadolint")
    assert subprocess.run([hadolint, path], capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("path", _IMAGES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_installed_by_the_constraints(path: Path) -> None:
    copied = [words for words in map(shlex.split, of(path, "COPY")) if not words[0].startswith("--from")]
    sources = {source for words in copied for source in words[:-1]}
    assert all((REPOSITORY / source).exists() for source in sources)
    assert sources >= {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", *_packages()}
    (install,) = [run for run in of(path, "RUN") if "pip install" in run]
    assert re.search(r"--constraint \S*constraints\.txt", install)
    assert not [word for word in ("--index-url", "--trusted-host", "http:", "https:") if word in install]


def _packages() -> list[str]:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^packages = \[(.*)\]$", text, re.MULTILINE)
    assert found is not None
    return re.findall(r'"(\w+)"', found[1])


@pytest.mark.parametrize("path", _IMAGES, ids=lambda path: path.name)
def test_images_are_pinned_and_end_as_a_user_who_is_not_root(path: Path) -> None:
    assert all(re.fullmatch(r"\S+:\S*\d\S*( AS \w+)?", base) for base in of(path, "FROM"))
    assert of(path, "USER")[-1] == "1000"
    assert not of(path, "ADD") and not of(path, "ARG")


def test_the_image_has_rays_settings_and_nothing_secret() -> None:
    (environment,) = of(DEPLOY / "Dockerfile", "ENV")
    given = dict(word.split("=", 1) for word in shlex.split(environment))
    wanted: dict[str, str] = {}
    prepare_environment(wanted)
    assert {name: value for name, value in given.items() if name not in ("PATH", "PYTHONUNBUFFERED")} == wanted


def test_the_image_serves_at_the_ports_that_it_exposes() -> None:
    (exposed,) = of(DEPLOY / "Dockerfile", "EXPOSE")
    (command,) = of(DEPLOY / "Dockerfile", "CMD")
    words = re.findall(r'"([^"]*)"', command)
    assert words[0] == "raylog"
    commands.check(words[1:])
    assert sorted(re.findall(r"0\.0\.0\.0:(\d+)", command)) == exposed.split()
    (health,) = of(DEPLOY / "Dockerfile", "HEALTHCHECK")
    assert exposed.split()[0] in health


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        words for words in map(shlex.split, of(DEPLOY / "Dockerfile", "COPY")) if not words[0].startswith("--from")
    ]
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == {s for words in copied for s in words[:-1]}
