"""Tables of results for the pages: numbers on the right, spread beside them."""

from collections.abc import Mapping, Sequence
from html import escape
from numbers import Integral

__all__ = ["Table"]

#: What stands in a cell: text, a number, a mean with its spread, or nothing.
Cell = str | int | float | tuple[float, float] | None


class Table:
    """A table that a notebook shows as HTML and a terminal as text.

    Args:
        rows: One mapping for each row, from column title to what stands there: text, a number, a
            pair (mean, spread), or None: nothing was measured. The first column names the row.
        caption: A sentence that can be read without the page.
        digits: Decimals of numbers that are no integers; a mapping gives them by column.

    Raises:
        ValueError: If there is no row, or a row has other columns than the first.

    Example:
        >>> Table([{"method": "FBP", "PSNR": (14.57, 0.4)}, {"method": "TV", "PSNR": 24.4}])
        method           PSNR
        FBP      14.57 ± 0.40
        TV              24.40
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Cell]],
        caption: str = "",
        digits: int | Mapping[str, int] = 2,
    ) -> None:
        if not rows:
            raise ValueError("a table without rows; expected at least one mapping")
        self.columns, self.caption = list(rows[0]), caption
        for row in rows:
            if list(row) != self.columns:
                raise ValueError(f"a row has the columns {list(row)}, expected {self.columns}")
        decimals = dict.fromkeys(self.columns, digits) if isinstance(digits, int) else digits
        self.cells = [[_text(row[c], decimals.get(c, 2)) for c in self.columns] for row in rows]
        # a column of numbers is set to the right, so that digits stand below digits
        self.numeric = [all(not isinstance(row[c], str) for row in rows) for c in self.columns]

    def __repr__(self) -> str:
        lines = [self.columns, *self.cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(
            "   ".join(
                text.rjust(width) if number else text.ljust(width)
                for text, width, number in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        def line(texts: list[str], tags: list[str]) -> str:
            styled = zip(texts, tags, self.numeric, strict=True)
            cells = (
                f"<{tag}{' class=number' if number else ''}>{escape(text)}</{tag.split()[0]}>"
                for text, tag, number in styled
            )
            return f"<tr>{''.join(cells)}</tr>"

        head = line(self.columns, ["th scope=col"] * len(self.columns))
        tags = ["th scope=row", *["td"] * (len(self.columns) - 1)]
        body = "\n".join(line(texts, tags) for texts in self.cells)
        caption = f"<caption>{escape(self.caption)}</caption>\n" if self.caption else ""
        return (
            f'<div class="results"><table>\n{caption}<thead>{head}</thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>"
        )


def _text(value: Cell, decimals: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, tuple | list):
        return f"{value[0]:.{decimals}f} ± {value[1]:.{decimals}f}"
    return f"{value:,}" if isinstance(value, Integral) else f"{value:.{decimals}f}"
