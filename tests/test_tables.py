"""Tables of results: text, HTML, and what they refuse."""

import numpy as np
import pytest
from bs4 import BeautifulSoup

from ippy.tables import Table

ROWS = [
    {"method": "FBP <ramp>", "PSNR": (14.567, 0.4), "images": 1234, "time": None},
    {"method": "TV", "PSNR": 24.4, "images": 32, "time": 2.0},
]


def test_a_table_is_text_in_columns():
    lines = repr(Table(ROWS, digits={"PSNR": 1})).splitlines()
    assert lines[0].split() == ["method", "PSNR", "images", "time"]
    assert lines[1].split() == ["FBP", "<ramp>", "14.6", "±", "0.4", "1,234", "–"]
    assert lines[2].endswith("32   2.00"), "numbers stand on the right"
    assert len(set(map(len, lines))) == 1


def test_a_table_is_html_that_a_screen_reader_understands():
    page = BeautifulSoup(Table(ROWS, "What came out < in")._repr_html_(), "html.parser")
    assert page.caption.text == "What came out < in"
    assert [th.text for th in page.select("thead th[scope=col]")] == list(ROWS[0])
    assert [th.text for th in page.select("tbody th[scope=row]")] == ["FBP <ramp>", "TV"]
    cells = [[td.text for td in row.select("td")] for row in page.select("tbody tr")]
    assert cells == [["14.57 ± 0.40", "1,234", "–"], ["24.40", "32", "2.00"]]
    assert all("number" in td["class"] for td in page.select("td"))
    assert "number" not in page.select_one("tbody th").get("class", [])


def test_a_table_without_rows_or_with_other_columns_is_refused():
    with pytest.raises(ValueError, match="at least one mapping"):
        Table([])
    with pytest.raises(ValueError, match="has the columns .'a'., expected .'b'."):
        Table([{"b": 1}, {"a": 1}])


def test_numbers_of_numpy_and_pairs_of_json_are_written_like_ours():
    ours = {"n": 1234, "x": 0.5, "pair": (1.0, 0.25)}
    others = {"n": np.int64(1234), "x": np.float32(0.5), "pair": [1.0, 0.25]}
    assert Table([others]).cells == Table([ours]).cells == [["1,234", "0.50", "1.00 ± 0.25"]]
    assert Table([{"settled": True}]).cells == [["True"]]
