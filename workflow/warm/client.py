"""Stands in for Python: hands a script or a module of the library to the server.

It ends as the script does. Where the server does not answer, it becomes Python itself.
"""

import json
import os
import socket
import sys
from pathlib import Path

ADDRESS, REAL, *ARGUMENTS = sys.argv[1:]
_, NAME, *_ = [*ARGUMENTS, "", ""]
if not (ARGUMENTS[0].endswith(".py") or NAME.startswith("sparsight.")):
    os.execv(REAL, [REAL, *ARGUMENTS])
with socket.socket(socket.AF_UNIX) as server:
    try:
        server.connect(ADDRESS)
    except OSError:
        os.execv(REAL, [REAL, *ARGUMENTS])
    message = json.dumps([ARGUMENTS, str(Path.cwd()), dict(os.environ)]).encode()
    socket.send_fds(server, [len(message).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(message)
    status = server.recv(1)
# Without an answer the server was killed.
sys.exit(status[0] if status else 1)
