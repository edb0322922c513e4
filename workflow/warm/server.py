"""Runs scripts in forks of a process that has imported the large libraries: no job waits for them.

See `run.py`, which starts it. The script runs as in a process of its own: with the folder,
environment, import path and console of its client, which is `client.py`. When the client is killed,
so is the script.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

LIBRARIES = """
    captum.attr duckdb matplotlib.pyplot numpy pandas PIL.Image pyarrow.parquet pydantic
    safetensors.torch scipy.optimize scipy.stats seaborn.objects skimage.segmentation
    sklearn.linear_model snakemake.script timm torch torch.nn.functional torchvision yaml
"""


def serve(address: Path) -> None:
    """Run the scripts that clients send until the process that started this one has ended."""
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        for library in LIBRARIES.split():
            __import__(library)
        # The collector writes to each object that it looks at, and a fork copies what it writes to.
        gc.collect()
        gc.freeze()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while os.getppid() == parent:
            if select.select([listener], [], [], 1)[0]:
                client, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    answer(client)
                client.close()


def run(name: str, module: bool) -> int:
    """Run a script, or a module by its name; its exit status."""
    try:
        if module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        if not isinstance(end.code, str):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(status: int) -> NoReturn:
    """End as Python does, but for the objects, whose freeing copies all that the fork shares."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def answer(client: socket.socket) -> None:
    """Fork once more for the script; tell the client how it ended, or kill it with its client."""
    head, consoles, _, _ = socket.recv_fds(client, 4, 3)
    size = int.from_bytes(head, "big")
    message = b""
    while len(message) < size:
        message += client.recv(size - len(message))
    arguments, folder, environment = json.loads(message)
    job = os.fork()
    if job == 0:
        client.close()
        os.setsid()
        for number, console in enumerate(consoles):
            os.dup2(console, number)
            os.close(console)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        own = environment.get("PYTHONPATH", "").split(os.pathsep)
        module = arguments[0] == "-m"
        sys.argv = arguments[module:]
        sys.path[:] = [*([] if module else [str(Path(arguments[0]).parent)]), *own, *sys.path[1:]]
        leave(run(sys.argv[0], module))
    ended = os.pidfd_open(job)
    if client in select.select([client, ended], [], [])[0]:
        os.killpg(job, signal.SIGKILL)
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    # as a shell says that a signal ended it
    client.send(bytes([status if status >= 0 else 128 - status]))
    os._exit(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
    leave(0)
