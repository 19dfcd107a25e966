"""Writing files, and taking turns: with and without a lock, across threads, forks and folders."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ippy import files
from ippy.files import atomic_write, turn

SIZE = 300_000


@pytest.fixture
def no_locks(tmp_path, monkeypatch) -> None:
    """The folder for temporary files is a file, so there is no room for locks."""
    (tmp_path / "no folder").touch()
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path / "no folder"))


def spied(monkeypatch) -> list[str]:
    """Names of the temporary files that are written."""
    names, write = [], files._write

    def spy(path: Path, content: bytes) -> None:
        names.append(path.name)
        write(path, content)

    monkeypatch.setattr(files, "_write", spy)
    return names


def test_one_temporary_name_where_the_turn_is_ours(tmp_path, monkeypatch) -> None:
    names = spied(monkeypatch)
    for content in (b"old", b"new"):
        atomic_write({tmp_path / "file": content})
    assert len(set(names)) == 1 and (tmp_path / "file").read_bytes() == b"new"
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    atomic_write({tmp_path / "file": b"from a process with another folder of locks"})
    assert len(set(names)) == 2


def test_without_a_lock_no_temporary_name_is_used_twice(tmp_path, monkeypatch, no_locks) -> None:
    names = spied(monkeypatch)
    with turn(tmp_path / "file") as ours:
        assert ours is False
    for content in (b"old", b"new"):
        atomic_write({tmp_path / "file": content})
    assert len(set(names)) == 2 and (tmp_path / "file").read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "no folder"]


def test_a_leftover_is_used_up_and_a_link_is_not_followed(tmp_path, monkeypatch) -> None:
    names = spied(monkeypatch)
    atomic_write({tmp_path / "file": b"old"})
    (tmp_path / "elsewhere").write_bytes(b"untouched")
    for leftover in ("file", "link"):
        temporary = tmp_path / names[0]
        if leftover == "file":
            temporary.write_bytes(b"half a fi")
        else:
            temporary.symlink_to(tmp_path / "elsewhere")
        atomic_write({tmp_path / "file": b"new"})
        assert not (tmp_path / "file").is_symlink()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "file"]
    assert (tmp_path / "elsewhere").read_bytes() == b"untouched"


def test_a_thread_may_take_its_turn_again_and_others_wait(tmp_path) -> None:
    path, seen = tmp_path / "file", []

    def other() -> None:
        with turn(path):
            seen.append("other")

    thread = threading.Thread(target=other)
    with turn(path) as once, turn(path) as twice:
        assert once and twice
        thread.start()
        time.sleep(0.2)
        seen.append("first")
    thread.join()
    assert seen == ["first", "other"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_does_not_inherit_the_turn(tmp_path) -> None:
    code = """
import os, sys, time
from ippy.files import turn
with turn(sys.argv[1]):
    if not os.fork():
        with turn(sys.argv[1]) as ours:
            print("child", ours, flush=True)
        os._exit(0)
    time.sleep(0.5)
    print("parent", flush=True)
os.wait()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
    assert done.stdout.split("\n") == ["parent", "child True", ""], done.stderr


WRITER = """
import sys, time
from pathlib import Path
from ippy.files import atomic_write
end = time.monotonic() + 3
number = 0
while time.monotonic() < end:
    number += 1
    atomic_write({Path(sys.argv[1]): sys.argv[2].encode() * int(sys.argv[3])})
print(number)
"""


def test_writers_that_do_not_share_a_folder_of_locks_do_not_tear(tmp_path) -> None:
    path, writers = tmp_path / "file", []
    for letter in "ab":
        (tmp_path / letter).mkdir()
        env = {**os.environ, "TMPDIR": str(tmp_path / letter)}
        command = [sys.executable, "-c", WRITER, str(path), letter, str(SIZE)]
        writers.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    seen = []
    while any(writer.poll() is None for writer in writers):
        if path.is_file():
            content = path.read_bytes()
            assert len(content) == SIZE and len(set(content)) == 1, "a torn file"
            seen.append(content[:1])
    assert [writer.returncode for writer in writers] == [0, 0]
    assert all(int(writer.stdout.read()) > 3 for writer in writers)
    assert {b"a", b"b"} == set(seen), "the writers did not work at the same time"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "file"]


@pytest.mark.parametrize("there", [True, False])
def test_if_the_second_file_cannot_be_replaced_the_first_is_what_it_was(
    tmp_path, monkeypatch, there
) -> None:
    weights, card = tmp_path / "a.pth", tmp_path / "a.json"
    if there:
        atomic_write({weights: b"old", card: b"old card"})
    replace = os.replace

    def held(source: Path, target: Path) -> None:
        if Path(target) == card:
            raise PermissionError(13, "held by a scanner")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", held)
    with pytest.raises(OSError, match="held by a scanner.*what was there is unchanged"):
        atomic_write({weights: b"new", card: b"new card"})
    expected = {"a.pth": b"old", "a.json": b"old card"} if there else {}
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == expected
