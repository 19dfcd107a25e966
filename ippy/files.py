"""Files that are old or new and never torn, however a process ends."""

import hashlib
import os
import platform
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock

__all__ = ["atomic_write", "require_writable", "turn"]

_USER = str(getattr(os, "getuid", int)())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@contextmanager
def turn(path: str | os.PathLike) -> Iterator[bool]:
    """Held while ``path`` is read or written: processes and threads of one user take turns.

    A thread may hold several, and the same one again. The lock is a file in the folder for
    temporary files; a process that is killed gives it back, and its file does no harm. Where there
    is no lock to be had, because that folder is full or somebody keeps it for a minute, work goes
    on without one: it must not end a training run.

    Returns:
        A context manager; its value is whether the turn is really ours.
    """
    lock = None
    try:
        name = f"ippy-{_digest(f'{_USER} {Path(path).resolve()}')}.lock"
        lock = FileLock(Path(tempfile.gettempdir()) / name, timeout=60, is_singleton=True)
        lock.acquire(poll_interval=0.005)
    except (OSError, NotImplementedError):  # what a disk without locks answers
        lock = None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _temporary(path: Path, ours: bool) -> Path:
    """Name of the file that is written first and then takes the place of ``path``.

    With the turn it is one name for all who share the lock, so what a killed process left behind
    is used up by the next that writes the same path. They share it who have the same machine, user
    and folder of locks: batch jobs and containers may have such folders of their own and still see
    one disk. Without the turn it is a name that nobody else has.
    """
    if ours:
        folder = os.stat(tempfile.gettempdir())
        mark = _digest(f"{platform.node()} {_USER} {folder.st_dev} {folder.st_ino}")[:8]
    else:
        mark = secrets.token_hex(8)
    return path.with_name(f".{path.name}.{mark}.tmp")


def require_writable(folder: Path) -> None:
    """Find out whether files can be written to a folder, which is made if it is missing.

    Raises:
        OSError: If they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def atomic_write(files: Mapping[Path, bytes]) -> None:
    """Write files so that each is old or new, never torn: all temporary files first, then renames.

    Nobody who reads under :func:`turn` sees some of the files old and others new, unless the
    process is killed between two renames.

    Args:
        files: Content of every file; folders that are missing are made.

    Raises:
        OSError: If a folder cannot be written or the disk is full; the old files are unchanged.
    """
    temporary: dict[Path, Path] = {}
    with ExitStack() as turns:
        try:
            # always in this order, so that nobody waits in a circle
            ours = {path: turns.enter_context(turn(path)) for path in sorted(files)}
            for path, content in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary[path] = _temporary(path, ours[path])
                _write(temporary[path], content)
            _replace(temporary)
        except OSError as error:
            raise OSError(
                error.errno,
                f"could not write {' and '.join(p.name for p in files)} ({error.strerror}); what "
                "was there is unchanged: free some disk space or choose a folder that can be "
                "written",
            ) from error
        finally:
            for new in temporary.values():
                with suppress(OSError):  # a read-only disk refuses even where there is nothing
                    new.unlink(missing_ok=True)


def _replace(temporary: Mapping[Path, Path]) -> None:
    """Put new files into their places; if one cannot be replaced, put the old ones back."""
    first = list(temporary)[:-1]  # when the last one cannot be replaced, there is nothing to undo
    old = {path: path.read_bytes() if path.is_file() else None for path in first}
    done: list[Path] = []
    try:
        for path, new in temporary.items():
            os.replace(new, path)
            done.append(path)
    except OSError:
        for path in done:
            content = old[path]
            if content is None:
                path.unlink()
            else:
                _write(path, content)
        raise


def _write(path: Path, content: bytes) -> None:
    """Write one new file through to the disk, where a leftover may stand."""
    path.unlink(missing_ok=True)
    with open(path, "xb") as file:  # never through a link that somebody else put there
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
