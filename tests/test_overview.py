"""The page of what was measured: every stored study, and every run of it."""

from types import SimpleNamespace

import pytest

from ippy import results
from ippy.results import Study
from ippy.studies import overview

RUNS = [
    {"network": "UNet", "seed": 0, "depends": "a", "sources": "b", "seconds": 61.2,
     "parameters": 1925, "date": "2026-01-02", "psnr": [30.0, 31.0], "val_step": [5, 10],
     "val_mse": [0.5, 0.25], "active": {"dec1": 3}},
    {"network": "UNet", "seed": 1, "depends": "a", "sources": "b", "seconds": 58.9,
     "parameters": 1925, "psnr": [29.0], "machine": {"processor": "Cray", "accelerator": "H100"}},
]  # fmt: skip


@pytest.fixture
def stored(monkeypatch):
    study = Study(seconds=120, machine={"processor": "Cray", "accelerator": None}, runs=RUNS,
                  fields=["network", "seed"])  # fmt: skip

    def load(name):
        if name != "size":
            raise FileNotFoundError(name)
        return study

    monkeypatch.setattr(results, "load", load)


def test_every_stored_study_has_its_row(stored):
    module = SimpleNamespace(QUESTION="Does size matter?")
    table = overview.all_studies({"size": module, "not computed": module})
    (row,) = table.cells
    assert row == ["size", "Does size matter?", "2", "2", "2", "2026-01-02", "Cray, CPU, H100"]


def test_every_run_has_its_row_in_short(stored):
    table = overview.table("size")
    assert table.columns == ["network", "seed", "psnr", "val step", "val mse", "seconds"]
    assert table.cells[0] == ["UNet", "0", "30.50", "10", "0.2500", "61"]
    assert table.cells[1] == ["UNet", "1", "29.00", "–", "–", "59"]
    assert table.caption == "The study size; in all runs parameters 1,925"


def test_a_setting_that_the_name_tells_has_no_column(monkeypatch):
    runs = [{"network": n, "skips": n == "UNet", "weights": w, "seconds": 1.0}
            for n in ("UNet", "no skips") for w in ("shipped", None)]  # fmt: skip
    study = Study(seconds=4, machine={}, runs=runs, fields=["network", "skips", "weights"])
    monkeypatch.setattr(results, "load", lambda name: study)
    assert overview.table("skips").columns == ["network", "weights", "seconds"]


def test_a_wide_table_is_shown_in_parts(monkeypatch):
    values = {f"measure{i:02}": 1000.0 + i for i in range(12)}
    runs = [{"network": n, "seconds": 1.0, **{k: v + len(n) for k, v in values.items()}}
            for n in ("UNet", "no skips")]  # fmt: skip
    study = Study(seconds=2, machine={}, runs=runs, fields=["network"])
    monkeypatch.setattr(results, "load", lambda name: study)
    table = overview.table("skips")
    parts = table.parts()
    assert len(parts) > 1 and all(part.columns[0] == "network" for part in parts)
    assert [c for part in parts for c in part.columns[1:]] == table.columns[1:]
    assert all(len(row) == len(part.columns) for part in parts for row in part.cells)
    assert table._repr_html_().count("<table") == len(parts)
    assert len(repr(table).splitlines()) == 3, "a terminal has it whole"


def test_the_books_studies_can_all_be_listed():
    from ippy.studies import STUDIES

    listed = {row[0] for row in overview.all_studies(STUDIES).cells}
    assert {"starts", "few_view_baselines"} <= listed <= set(STUDIES)
