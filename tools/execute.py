"""Re-run the notebooks whose outputs may have changed; called by ``run.py execute``.

What decides are marks of all that the outputs depend on (:mod:`staleness`), which are kept in the
notebook's metadata (``ippy``). Outputs and prose do not enter.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from PIL import Image
from staleness import Sources, reasons

from ippy.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]


def debris(notebook: nbformat.NotebookNode) -> list[str]:
    """Say what must not be stored: stderr, errors, paths of this machine; one line each."""
    found = []
    private = [repr(str(path))[1:-1] for path in (ROOT, Path.home()) if path != path.parent]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        for output in cell.outputs:
            if output.get("name") == "stderr":
                found.append(f"code cell {number} wrote to stderr: {output.text.strip()[:300]!r}")
            elif output.output_type == "error":
                found.append(f"code cell {number} raised {output.ename}: {output.evalue}")
            elif any(path in repr(dict(output)) for path in private):
                found.append(f"code cell {number} shows a path of this machine")
    return found


def run(notebook: nbformat.NotebookNode, folder: Path) -> list[str]:
    """Execute a notebook in place, with its folder as working directory; return what went wrong."""
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except (CellControlSignal, DeadKernelError) as error:
        return [str(error)]
    return debris(notebook)


def compact(picture: str) -> str:
    """Re-encode an opaque base64 PNG: grey without loss, coloured with 256 colours of its own."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    rgb = image.convert("RGB")
    red, green, blue = rgb.split()
    opaque = image.convert("RGBA").getextrema()[3] == (255, 255)
    if not opaque:
        return picture
    grey = red.tobytes() == green.tobytes() == blue.tobytes()
    candidates = [red] if grey else [rgb, rgb.quantize(256, dither=Image.Dither.NONE)]
    files = [io.BytesIO() for _ in candidates]
    for candidate, file in zip(candidates, files, strict=True):
        candidate.save(file, "PNG", optimize=True)
    smallest = min(files, key=lambda file: file.tell())
    return base64.b64encode(smallest.getvalue()).decode()


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Bring a notebook that was run into the form that is stored: no times, small pictures."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = compact(output.data["image/png"])
    notebook.metadata.update(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"},
    )


def store(notebook: nbformat.NotebookNode, path: Path, marks: dict) -> None:
    """Write a notebook with its marks in a stable form, atomically."""
    notebook.metadata["ippy"] = marks
    text = nbformat.writes(notebook, indent=1).rstrip("\n") + "\n"
    atomic_write({path: text.encode("utf-8")})


def sentence(why: list[str]) -> str:
    """Reasons as one clause; of many the first three."""
    more = [f"and {len(why) - 3} more"] if len(why) > 4 else []
    return ", ".join([*why[:3], *more] if more else why)


def refresh(path: Path, marks: dict, why: list[str]) -> bool:
    """Run one notebook and store it; if something goes wrong, say it and leave the file."""
    print(f"{path.name}: running, since {sentence(why)}", flush=True)
    notebook = nbformat.read(path, as_version=4)
    problems = run(notebook, path.parent)
    if problems:
        print(*problems, f"{path.name}: FAILED; the file is as it was.", sep="\n", flush=True)
        return False
    tidy(notebook)
    store(notebook, path, marks)
    return True


def arguments(argv: list[str] | None, found: dict[str, Path]) -> argparse.Namespace:
    """Options and the notebooks that they are about."""
    parser = argparse.ArgumentParser(prog="run.py execute", allow_abbrev=False)
    parser.add_argument("names", nargs="*", help="notebooks, as unet or book/unet.ipynb; else all")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="also those that did not change")
    what.add_argument(
        "--check", action="store_true", help="only say what would run, and why; exit 1 if any"
    )
    what.add_argument(
        "--accept",
        action="store_true",
        help="the outputs are known to be right, since nbval passed after a change that only moved "
        "code, say: store the marks without running",
    )
    asked = parser.parse_args(argv)
    for name in asked.names:
        if Path(name).stem not in found:
            parser.error(f"no notebook {name!r}; there are {', '.join(found) or 'none'}")
    asked.paths = [found[Path(name).stem] for name in asked.names] or list(found.values())
    return asked


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Refresh the notebooks of ``root/book``; the file of one that fails stays as it was."""
    asked = arguments(argv, {path.stem: path for path in sorted((root / "book").glob("*.ipynb"))})
    sources, bad = Sources(root), 0
    for path in asked.paths:
        notebook = nbformat.read(path, as_version=4)
        marks = sources.marks(notebook, path.name)
        why = reasons(notebook.metadata.get("ippy"), marks)
        if asked.all:
            why = why or ["--all asks for it"]
        if not why:
            print(f"{path.name}: unchanged", flush=True)
        elif asked.check:
            print(f"{path.name}: stale, since {sentence(why)}", flush=True)
            bad += 1
        elif asked.accept:
            store(notebook, path, marks)
            print(f"{path.name}: accepted, although {sentence(why)}", flush=True)
        else:
            bad += not refresh(path, marks, why)
    return int(bad > 0)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
