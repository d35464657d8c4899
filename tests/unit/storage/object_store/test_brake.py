"""A bucket that is slowed down while it is used."""

from pathlib import Path

from raylog.storage.brake import Brake
from tests.harness.manual_clock import ManualClock


def test_the_file_says_how_much_longer_a_request_takes(tmp_path: Path) -> None:
    clock, file = ManualClock(), tmp_path / "brake"
    brake = Brake(file, clock)
    assert brake.extra_s() == 0
    file.write_text("250")
    clock.now_s += 1
    assert brake.extra_s() == 0.25
    file.unlink()
    assert brake.extra_s() == 0.25, "it is not read at each request"
    clock.now_s += 1
    assert brake.extra_s() == 0


def test_a_file_without_a_number_slows_nothing(tmp_path: Path) -> None:
    (tmp_path / "brake").write_text("much")
    assert Brake(tmp_path / "brake", ManualClock()).extra_s() == 0
