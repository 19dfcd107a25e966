"""Files that are old or new and never torn, however a process ends."""

import hashlib
import os
import platform
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from filelock import FileLock

__all__ = ["atomic_write", "turn"]

_USER = str(getattr(os, "getuid", int)())
# Part of the name of a temporary file: on a disk that machines share, each has its own.
_HERE = hashlib.sha256(f"{platform.node()} {_USER}".encode()).hexdigest()[:8]


def turn(path: str | os.PathLike) -> AbstractContextManager:
    """Held while ``path`` is read or written: processes of one user and machine take turns.

    A process may hold several, and the same one again. Where there is no room for a lock, there is
    none, since a full disk must not end a training run.
    """
    whose = f"{_USER} {Path(path).resolve()}"
    name = f"ippy-{hashlib.sha256(whose.encode()).hexdigest()[:16]}.lock"
    try:
        lock = FileLock(Path(tempfile.gettempdir()) / name, timeout=60, is_singleton=True)
        return lock.acquire(poll_interval=0.005)
    except OSError:
        return nullcontext()


def atomic_write(files: Mapping[Path, bytes]) -> None:
    """Write files so that each is old or new, never torn: all temporary files first, then renames.

    The temporary file of a path has one name on each machine, so what a killed process left behind
    is used up by the next that writes the same path.

    Args:
        files: Content of every file; folders that are missing are made.

    Raises:
        OSError: If a folder cannot be written or the disk is full; the old files are unchanged.
    """
    temporary: dict[Path, Path] = {}
    with ExitStack() as turns:
        try:
            for path in sorted(files):  # always in this order, so that nobody waits in a circle
                turns.enter_context(turn(path))
            for path, content in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                new = path.with_name(f".{path.name}.{_HERE}.tmp")
                temporary[path] = new
                _write(new, content)
            for path, new in temporary.items():
                os.replace(new, path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"could not write {' and '.join(p.name for p in files)} ({error.strerror}); what "
                "was there is unchanged: free some disk space or choose a folder that can be "
                "written",
            ) from error
        finally:
            for new in temporary.values():
                new.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write one file through to the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
