"""Ends a lab's Ray after whoever runs the lab, should that be killed: ``python -m lab.guardian MARK``, in a process of its own.

It waits for the end of its standard input, of which only the lab's process has the other end.
"""

import subprocess
import sys

from lab.marked import kill_marked


def start_guardian(mark: str) -> subprocess.Popen[bytes]:
    """For the processes with this mark. It ends them, and itself, when its standard input is closed, or this process ends."""
    # In a session of its own, so that Ctrl-C in a terminal does not end it before its time.
    return subprocess.Popen([sys.executable, "-m", "lab.guardian", mark], stdin=subprocess.PIPE, start_new_session=True)


def main() -> None:
    sys.stdin.buffer.read()
    kill_marked(sys.argv[1])


if __name__ == "__main__":
    main()
