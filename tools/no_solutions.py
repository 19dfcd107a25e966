"""Copy the book's source without the solutions to exercises, for ``run.py book --no-solutions``.

The solutions are cut out of the source, not out of the pages, so that neither the search index nor
the notebooks offered for download hold them. Standard library only.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

PARTS = ("_config.yml", "_toc.yml", "book", "imgs", "weights")
START = re.compile(r"(`{3,}|:{3,})\{solution(-start)?\}")
END = re.compile(r"(`{3,}|:{3,})\{solution-end\}")


class Cutter:
    """Drops solutions from text that is fed in pieces, the cells of a notebook.

    ``fence`` closes the directive that is being dropped; ``gate`` says that a ``solution-start``
    waits for its ``solution-end``, and that all between them goes.
    """

    def __init__(self) -> None:
        self.fence, self.gate = "", False

    def keep(self, text: str) -> str:
        """The part of the next piece that belongs to no solution."""
        kept = []
        for line in text.splitlines(keepends=True):
            start, end = START.match(line), END.match(line)
            if self.fence:
                if line.strip() == self.fence:
                    self.fence = ""
            elif self.gate:
                if end:
                    self.fence, self.gate = end[1], False
            elif start:
                self.fence, self.gate = start[1], bool(start[2])
            else:
                kept.append(line)
        return "".join(kept).rstrip()


def cut(text: str, name: str) -> str:
    """The source of a page, notebook or Markdown, without solutions.

    Raises:
        ValueError: If a solution does not end.
    """
    cutter = Cutter()
    if name.endswith(".ipynb"):
        notebook, cells = json.loads(text), []
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = cutter.keep("".join(cell["source"]))
            elif cutter.gate:
                continue
            if cell["source"]:
                cells.append(cell)
        notebook["cells"] = cells
        kept = json.dumps(notebook, indent=1, ensure_ascii=False)
    else:
        kept = cutter.keep(text)
    if cutter.gate or cutter.fence:
        raise ValueError(f"{name}: a solution does not end")
    return kept + "\n"


def copy(root: Path, target: Path) -> None:
    """Make ``target`` anew: the source of the book in ``root``, without solutions."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for part in PARTS:
        data = ("*.pth", "*.json") if part == "weights" else ()  # the pages show its README
        leave = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__", "node_modules", *data)
        if (root / part).is_dir():
            shutil.copytree(root / part, target / part, ignore=leave)
        else:
            shutil.copyfile(root / part, target / part)
    for page in [*(target / "book").glob("*.ipynb"), *(target / "book").glob("*.md")]:
        page.write_text(cut(page.read_text(encoding="utf-8"), page.name), encoding="utf-8")


if __name__ == "__main__":
    copy(Path(sys.argv[1]), Path(sys.argv[2]))
