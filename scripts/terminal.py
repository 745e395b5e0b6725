"""Runs a command in a terminal of its own: `python3 terminal.py COLUMNS ROWS COMMAND...`. What arrives on standard input is typed into it, what
it displays goes to standard output, byte for byte."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios

columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

inputs = [terminal, 0]
while True:
    ready, _, _ = select.select(inputs, [], [])
    if 0 in ready:
        typed = os.read(0, 4096)
        if typed:
            os.write(terminal, typed)
        else:
            inputs.remove(0)
    if terminal in ready:
        try:
            displayed = os.read(terminal, 65536)
        except OSError:  # EIO: the command has closed the terminal
            break
        if not displayed:
            break
        os.write(1, displayed)

_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
