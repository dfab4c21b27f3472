"""Ends a cluster's processes when the process that started them is gone, however it went: also by kill -9.

Run by child_processes.py. Standard input: "+PID" for a process started, "-PID" for one that ended. The end of the input
means that the owner is gone (or has finished); what is left then is killed, each with its whole process group.
"""

import contextlib
import os
import signal
import sys

running: set[int] = set()
for line in sys.stdin:
    change = running.add if line[0] == "+" else running.discard
    change(int(line[1:]))
for process_group in running:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process_group, signal.SIGKILL)
