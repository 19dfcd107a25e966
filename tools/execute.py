"""Re-run the notebooks whose code, library or weights changed; called by ``run.py execute``.

What decides is a fingerprint, kept in the notebook's metadata (``ippy.fingerprint``): a hash over
its code cells, the library, the weights and the sample images. Outputs and prose do not enter.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def sources(root: Path = ROOT) -> str:
    """Hash over library, weights and samples: what outputs depend on besides a notebook's code."""
    files = [*(root / "ippy").rglob("*.py"), *(root / "imgs").glob("sample_*")]
    files += [p for p in (root / "weights").rglob("*") if p.suffix in (".pth", ".json")]
    names = {path.relative_to(root).as_posix(): path for path in files}
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name} {hashlib.sha256(names[name].read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def fingerprint(notebook: nbformat.NotebookNode, shared: str) -> str:
    """Hash over a notebook's code and ``shared``, the hash that :func:`sources` returns."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join([shared, *code]).encode()).hexdigest()


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
    """Re-encode a base64 PNG without loss where it is grey and opaque: a third of the bytes."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    rgb = image.convert("RGB")
    red, green, blue = rgb.split()
    opaque = image.convert("RGBA").getextrema()[3] == (255, 255)
    if not opaque:
        return picture
    grey = red.tobytes() == green.tobytes() == blue.tobytes()
    file = io.BytesIO()
    (red if grey else rgb).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def store(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook in a stable form, atomically: the old file stays until the new is whole."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = compact(output.data["image/png"])
    notebook.metadata.update(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"},
    )
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "w", encoding="utf-8", newline="\n") as file:
            file.write(nbformat.writes(notebook, indent=1).rstrip("\n") + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Refresh the notebooks of ``root/book``; the file of one that fails stays as it was."""
    parser = argparse.ArgumentParser(prog="run.py execute", allow_abbrev=False)
    parser.add_argument("names", nargs="*", help="notebooks, as unet or book/unet.ipynb; else all")
    parser.add_argument("--all", action="store_true", help="also those that did not change")
    asked = parser.parse_args(argv)
    found = {path.stem: path for path in sorted((root / "book").glob("*.ipynb"))}
    for name in asked.names:
        if Path(name).stem not in found:
            parser.error(f"no notebook {name!r}; there are {', '.join(found) or 'none'}")
    shared, failed = sources(root), 0
    for path in [found[Path(name).stem] for name in asked.names] or found.values():
        notebook = nbformat.read(path, as_version=4)
        mark = fingerprint(notebook, shared)
        if not asked.all and notebook.metadata.get("ippy", {}).get("fingerprint") == mark:
            print(f"{path.name}: unchanged", flush=True)
            continue
        print(f"{path.name}: running ...", flush=True)
        problems = run(notebook, path.parent)
        if problems:
            failed += 1
            print(*problems, f"{path.name}: FAILED; the file is as it was.", sep="\n", flush=True)
        else:
            notebook.metadata["ippy"] = {"fingerprint": mark}
            store(notebook, path)
    return int(failed > 0)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
