"""Functions that the clusters of these tests run: good ones, and some that no user should write."""

from __future__ import annotations

import atexit
import ctypes
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import setproctitle


def append(path, line):
    """Add a line to a file, in one write: many processes may do so at once."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def write_report(error, about, path):
    """An error reporter that writes a line to a file."""
    append(path, json.dumps({"error": type(error).__name__, "about": about}))


def count(path):
    """How many lines the file has."""
    return len(Path(path).read_text().splitlines()) if Path(path).exists() else 0


# Good ones.


def wait_for_children(count):
    """Ask for tasks and wait until each has come to its outcome."""
    from djq.tasks import async_task, fetch  # noqa: PLC0415 - the worker's Django is set up by now

    ids = [async_task(noop, number) for number in range(count)]
    return sum(fetch(id, wait=-1).success for id in ids)


def noop(*_):
    return None


def nap(seconds):
    time.sleep(seconds)
    return seconds


def note(path, line, seconds=0.0):
    """Write down that it ran, and in which process."""
    append(path, f"{line} {os.getpid()}")
    time.sleep(seconds)
    return line


def wait_for_file(path):
    """Take as long as the test wants it to."""
    while not Path(path).exists():
        time.sleep(0.01)


def slow_once(path, seconds):
    """Take long at the first run, and no time at later ones."""
    append(path, f"slow {os.getpid()}")
    if count(path) == 1:
        time.sleep(seconds)
    return "slow"


def tell(path, seconds):
    """Write down when it began and in which process, and take long."""
    append(path, f"{time.monotonic():.6f} {os.getpid()}")
    time.sleep(seconds)


def tell_then_nap_once(path, seconds):
    """The same, and take no time at later runs."""
    tell(path, 0)
    if count(path) == 1:
        time.sleep(seconds)


def note_span(path, line, seconds):
    """Write down when it began and ended."""
    append(path, f"{line} begin {time.monotonic():.6f}")
    time.sleep(seconds)
    append(path, f"{line} end {time.monotonic():.6f}")
    return line


def hook(task):
    """Write down the outcome beside the database, in a file that the task's group names."""
    append(task.group, f"{task.id} {task.success} {task.attempts}")


def heartbeat(path):
    """Write down the time, again and again, until somebody ends it."""
    while True:
        append(path, f"{time.monotonic():.6f}")
        time.sleep(0.01)


def enqueue_more(path, depth):
    """A task that asks for another one, and so on."""
    from djq.tasks import async_task  # noqa: PLC0415 - Django is ready only when the task runs

    append(path, depth)
    if depth:
        async_task(enqueue_more, path, depth - 1)


def write_rows(number):
    """Write to the project's own database, as tasks do: read first, write then, in a transaction."""
    from django.db import transaction  # noqa: PLC0415

    from djq.models import Schedule  # noqa: PLC0415

    with transaction.atomic():
        before = Schedule.objects.filter(name=str(number)).count()
        Schedule.objects.create(func="tests.cluster.tasks.noop", name=str(number), repeats=before)
    Schedule.objects.filter(name=str(number)).update(hook="written")
    return number


def count_rows():
    """A query, and the process that made it."""
    from djq.models import Schedule  # noqa: PLC0415 - Django is ready only when the task runs

    return Schedule.objects.count(), os.getpid()


def title():
    """What the process that runs this shows in a list of processes."""
    return setproctitle.getproctitle()


def chance(_):
    """Random numbers as a task would draw them."""
    return random.random()


def affinity(seconds):
    """Which process runs on which processors."""
    time.sleep(seconds)
    return os.getpid(), sorted(os.sched_getaffinity(0))


def grow(mib):
    """Hold on to memory."""
    held = globals().setdefault("_held", [])
    held.append(bytearray(os.urandom(1024)) * (mib * 1024))
    return os.getpid()


def use_subprocess():
    """What a program started by a task does with SIGTERM."""
    program = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def exit_code_of_a_program(code):
    return subprocess.run(
        [sys.executable, "-c", f"raise SystemExit({code})"], check=False
    ).returncode


def _square_and_handler(number):
    return number * number, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def can_be_ended():
    """Whether a process that the task forks has the default behaviour for SIGTERM."""
    pid = os.fork()
    if pid == 0:
        # Nothing else: locks that other threads held are held here for ever.
        os._exit(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def use_pool():
    """What processes forked by a task do with their work and with SIGTERM."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(_square_and_handler, range(4))


# Hostile ones.


def die(code):
    os._exit(code)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_worker_twice(path):
    """Die, die, return."""
    append(path, os.getpid())
    if count(path) <= 2:
        kill_itself()
    return "third time"


def nap_and_die(path, seconds):
    append(path, f"dying {os.getpid()}")
    time.sleep(seconds)
    kill_itself()


def kill_sentinel(path):
    append(path, os.getpid())
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.2)
    kill_itself()


def freeze():
    """Stop its own process: what only the kernel can do anything about."""
    os.kill(os.getpid(), signal.SIGSTOP)


def segfault():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def backtrack():
    """A regular expression that takes longer than anybody waits, without ever letting go."""
    re.match(r"(a+)+$", "a" * 50 + "b")


def give_lock():
    return threading.Lock()


def leave():
    raise SystemExit(4)


def interrupt():
    raise KeyboardInterrupt


def eat_memory():
    return bytearray(1 << 62)


def recurse(depth=0):
    return recurse(depth + 1)


def close_everything():
    os.closerange(0, 1024)
    return "closed"


def garble(text):
    """Write to every socket of the worker, as a program does that has closed a file twice."""
    for fd in range(3, 256):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, text)
    return "written"


def change_surroundings(folder):
    """Leave another working directory and another environment behind."""
    os.chdir(folder)
    os.environ.clear()
    return str(Path.cwd())


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    return "deaf"


def leave_thread(seconds):
    threading.Thread(target=time.sleep, args=(seconds,), daemon=False).start()
    return "threaded"


def write_late(path, words):
    """Leave words where only a flush of standard output writes them, and more for the very end."""
    sys.stdout = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open
    print(words)  # noqa: T201 - that is what it does
    atexit.register(print, "at exit")


def babble():
    """Write to standard output without end."""
    while True:
        print("words " * 1000)  # noqa: T201 - that is what it does


def leave_grandchild(seconds):
    """Fork a process that outlives the task and its worker, and die.

    It holds copies of all that the worker had open.
    """
    if os.fork() == 0:
        setproctitle.setproctitle("grandchild")
        time.sleep(seconds)
        os._exit(0)
    os._exit(5)


def return_twice():
    """Fork, and return from both."""
    return "parent" if os.fork() else "child"
