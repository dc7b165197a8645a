"""Locks: one holder at a time, nothing left of a killed one, and what happens where there are none."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from neurohil import locks
from neurohil.locks import BusyError, ForeignError, Lock, is_held, locks_work

HOLD = "import sys, time; from pathlib import Path; from neurohil.locks import Lock\n"
HOLD += "lock = Lock(Path(sys.argv[1]))\n"
HOLD += "print('ready', flush=True)\ntime.sleep(600)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5.part.lock"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.0)


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_the_second_one_is_told_who_holds_it(path, holder, impatient):
    assert is_held(path)
    with pytest.raises(BusyError, match=f"^process {holder.pid}$"):
        Lock(path)


def test_a_killed_holder_leaves_a_lock_that_anyone_may_take(path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert path.exists() and not is_held(path)
    lock = Lock(path)
    assert lock.works and is_held(path)
    lock.release()
    lock.release()
    assert not path.exists()


def test_a_file_that_was_removed_and_made_again_does_not_fool_it(path, impatient):
    first = Lock(path)
    path.unlink()
    second = Lock(path)  # the path leads to another file now, which nobody holds
    first.release()  # removes its own file alone
    assert path.exists() and is_held(path)
    with pytest.raises(BusyError, match=f"process {os.getpid()}"):
        Lock(path)
    second.release()
    assert not path.exists()


def test_of_many_at_once_one_has_it_at_a_time(path):
    inside, most, entered = [0], [0], [0]

    def enter():
        for _ in range(20):
            try:
                lock = Lock(path)
            except BusyError:
                continue
            inside[0] += 1
            most[0], entered[0] = max(most[0], inside[0]), entered[0] + 1
            inside[0] -= 1
            lock.release()

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and entered[0] >= 20
    assert not path.exists()


def test_looking_at_it_all_the_time_does_not_keep_others_out(path):
    done = threading.Event()

    def look():
        while not done.is_set():
            is_held(path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(200):
            Lock(path).release()
    finally:
        done.set()
        looking.join()
    assert not path.exists()


@pytest.mark.parametrize("kind", ["foreign file", "link", "dangling link", "pipe", "folder"])
def test_what_is_not_ours_is_left_alone(path, kind):
    other = path.with_name("other")
    other.write_bytes(b"theirs")
    if kind == "foreign file":
        path.write_bytes(b"theirs")
    elif kind.endswith("link"):
        path.symlink_to(other if kind == "link" else path.with_name("nothing"))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises((ForeignError, OSError), match=re.escape(str(path))):
        Lock(path)
    assert other.read_bytes() == b"theirs"
    assert kind != "foreign file" or path.read_bytes() == b"theirs"
    assert not path.with_name("nothing").exists() and os.path.lexists(path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_file_systems_without_locks(path, number, monkeypatch):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    assert not locks_work(path.parent)
    first, second = Lock(path), Lock(path)
    assert not first.works and not second.works and is_held(path)
    second.release()
    first.release()
    assert os.listdir(path.parent) == []


def test_locks_work_here_and_leave_nothing(tmp_path):
    assert locks_work(tmp_path)
    assert os.listdir(tmp_path) == []
    assert not locks_work(tmp_path / "nothing")
    assert not locks_work(Path("/proc"))


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_the_file_has_the_rights_of_the_umask_and_its_owner_can_read_it(path, mask):
    before = os.umask(mask)
    try:
        lock = Lock(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == (0o666 & ~mask) | 0o600
    lock.release()
