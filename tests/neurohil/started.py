"""A command in a process of its own that starts in no time, for tests that stop or kill it."""

import os
import signal
import sys

from neurohil.cli import main


class Started:
    """A copy of this process that runs a command. With its libraries loaded, it starts in no time."""

    def __init__(self, arguments: list[str]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setpgid(0, 0)
            for descriptor in (1, 2):
                os.dup2(writing, descriptor)
            sys.stdout, sys.stderr = (open(k, "w", closefd=False) for k in (1, 2))
            code = 99
            try:
                code = main(arguments)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        self._output = open(reading)

    def kill(self) -> int:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()[0]

    def wait(self) -> tuple[int, str]:
        """Exit code, and what it said."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with self._output:
            return code, self._output.read()
