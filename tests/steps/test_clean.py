"""`seqkd clean`: sizes first, asks, and never leaves results/{experiment}."""

from __future__ import annotations

from pathlib import Path

import pytest

from processes import seqkd


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("models/m/model.safetensors", "distilled/n.zst", "logs/a.log", "report.html"):
        path = tmp_path / "results" / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1_000_000)
    (tmp_path / "results" / "other").mkdir()
    (tmp_path / "resources").mkdir()
    return tmp_path


def names(place: Path) -> set[str]:
    return {path.name for path in (place / "results" / "mine").glob("*")}


def test_sizes_are_shown_and_nothing_goes_unasked(place: Path):
    told = seqkd("clean", "mine", folder=place, input="")
    assert told.returncode == 1
    assert "nothing was deleted" in told.stderr
    assert "4.0" in told.stdout
    assert names(place) == {"models", "distilled", "logs", "report.html"}


def test_yes_deletes_one_experiment_and_nothing_else(place: Path):
    assert seqkd("clean", "results/mine/", "--yes", folder=place).returncode == 0
    assert not (place / "results" / "mine").exists()
    assert (place / "results" / "other").is_dir()
    assert (place / "resources").is_dir()


def test_some_parts_only(place: Path):
    seqkd("clean", "mine", "--yes", "--only", "distilled", "logs", folder=place)
    assert names(place) == {"models", "report.html"}


def test_models_can_be_kept(place: Path):
    seqkd("clean", "mine", "--yes", "--keep-models", folder=place)
    assert names(place) == {"models", "report.html"}


@pytest.mark.parametrize("name", ["..", "../results/mine", ".", "", "/tmp", "min"])
def test_nothing_outside_is_touched(name: str, place: Path):
    told = seqkd("clean", name, "--yes", folder=place)
    assert told.returncode == 1
    assert "no experiment" in told.stderr
    assert len(names(place)) == 4


def test_a_part_outside_is_refused(place: Path):
    told = seqkd("clean", "mine", "--yes", "--only", "../other", folder=place)
    assert "no '../other'" in told.stderr
    assert (place / "results" / "other").is_dir()


def test_links_are_removed_and_not_followed(place: Path, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "dear.txt").touch()
    (place / "results" / "mine" / "linked").symlink_to(elsewhere)
    (place / "results" / "mine" / "models" / "linked").symlink_to(elsewhere)
    assert seqkd("clean", "mine", "--yes", folder=place).returncode == 0
    assert (elsewhere / "dear.txt").exists()


def test_a_linked_experiment_is_refused(place: Path, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (place / "results" / "linked").symlink_to(elsewhere)
    assert "is a link" in seqkd("clean", "linked", "--yes", folder=place).stderr
