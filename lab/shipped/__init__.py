"""The experiments that come with Raylog: ``raylog lab list``. Each is a file here, and its name is the file's."""

from pathlib import Path

from lab.experiment import Experiment
from lab.experiment_file import load
from raylog.model.errors import InvalidError

_FOLDER = Path(__file__).parent


def all_shipped() -> list[Experiment]:
    """By name."""
    return [load(path) for path in sorted(_FOLDER.glob("*.yaml"))]


def find(name_or_file: str) -> Experiment:
    """A shipped one by its name, or a file. Raises InvalidError."""
    if "/" not in name_or_file and not name_or_file.endswith((".yaml", ".yml")):
        shipped = _FOLDER / f"{name_or_file}.yaml"
        if not shipped.is_file():
            names = ", ".join(path.stem for path in sorted(_FOLDER.glob("*.yaml")))
            raise InvalidError(
                f"There is no experiment '{name_or_file}': Raylog comes with {names}; a file's name ends in .yaml."
            )
        return load(shipped)
    return load(Path(name_or_file))
