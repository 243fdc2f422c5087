"""Starts processes and sees to their end: run as a process of its own, in a session of its own.

Reads one JSON list of two from each line of its input, a command and the file that takes its output, starts it, and
answers with its process id. When the input ends, because it was closed or because the parent died, even by ``kill -9``,
every process of the session is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil


def main() -> None:
    """Serve until the input ends, then clean up."""
    signal.signal(signal.SIGCHLD, _reap)
    started = []  # else a Popen that is forgotten waits for its process by itself
    for line in sys.stdin:
        command, output = json.loads(line)
        with Path(output).open("ab") as log:
            started.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            )
        print(started[-1].pid, flush=True)
    while left := [process for process in psutil.process_iter() if _is_of_this_session(process.pid)]:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)


def _reap(_number: int, _frame: FrameType | None) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _is_of_this_session(pid: int) -> bool:
    try:
        return pid != os.getpid() and os.getsid(pid) == os.getsid(0)
    except ProcessLookupError:
        return False


if __name__ == "__main__":
    main()
