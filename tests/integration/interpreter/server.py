# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python interpreter that starts fast: modules spend most of their time importing the AWS SDK.

This process has imported it. For every program that client.py hands over it forks, and the child
becomes what a fresh interpreter would be: arguments, variables, folder and standard streams are
the client's. Everything that a module brings along is imported from there, as ever.

Runs on the oldest Python that modules run on. Ends when its standard input does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import hashlib
import json
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import threading
import types
import zipimport
from typing import Any, NoReturn

import boto3
import botocore.session


def listen(place: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    return listener


def warm_up(folder: str) -> None:
    """Read all that nearly every module reads: the SDK, and what AWS's services can do."""
    share = functools.lru_cache(maxsize=None)
    botocore.session.create_loader = share(botocore.session.create_loader)
    session = boto3.session.Session("AKIAEMULATEDEMULATED", "emulated", region_name="us-east-1")
    for service in ("ec2", "s3"):
        session.client(service)
    compile_once(folder)
    gc.collect()
    # Counting references would copy the memory that children share.
    gc.freeze()


def compile_once(folder: str) -> None:
    """Keep the bytecode of what modules bring along, for which a zip file has no place."""
    importer: Any = zipimport
    compile_source = importer._compile_source

    def compile_or_read(path: str, source: bytes) -> types.CodeType:
        kept = os.path.join(folder, hashlib.sha256(source).hexdigest())
        try:
            with open(kept, "rb") as file:
                return marshal.load(file)
        except FileNotFoundError:
            code: types.CodeType = compile_source(path, source)
            unfinished = f"{kept}.{os.getpid()}"
            with open(unfinished, "wb") as file:
                marshal.dump(code, file)
            os.replace(unfinished, kept)
            return code

    importer._compile_source = compile_or_read


def serve(listener: socket.socket) -> socket.socket:
    """The connection that a child has to answer; the parent never comes back from here."""
    while True:
        ready, _writable, _failed = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            sys.exit()
        connection, _address = listener.accept()
        if os.fork() == 0:
            listener.close()
            return connection
        connection.close()
        bury_children()


def bury_children() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def take_over(connection: socket.socket) -> None:
    """Become the process that the client was asked to be."""
    _byte, streams, _flags, _address = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as received:
        call = json.loads(received.readline())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["variables"])
    sys.argv = call["arguments"] or ["-"]


def die_with_client(connection: socket.socket) -> None:
    """Whoever kills the client means this process."""

    def watch() -> None:
        connection.recv(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def run(script: str) -> None:
    if script == "-":
        sys.path[0] = ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), main.__dict__)
    else:
        sys.path[0] = os.path.dirname(os.path.realpath(script))
        runpy.run_path(script, run_name="__main__")


def exit_code(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return ended.code or 0
    print(ended.code, file=sys.stderr)
    return 1


def answer(connection: socket.socket) -> None:
    """Run the client's program to its end and tell its exit code."""
    code = 1
    own = os.getpid()

    def tell() -> NoReturn:
        sys.stdout.flush()
        sys.stderr.flush()
        # A program that goes to the background ends in each of its processes.
        if os.getpid() == own:
            connection.send(bytes([code]))
        os._exit(code)

    # What is registered first is called last, after the program's own.
    atexit.register(tell)
    try:
        run(sys.argv[0])
        code = 0
    except SystemExit as ended:
        code = exit_code(ended)


def main(place: str) -> None:
    listener = listen(place)
    warm_up(os.path.dirname(place))
    print("ready", flush=True)
    connection = serve(listener)
    take_over(connection)
    die_with_client(connection)
    answer(connection)


if __name__ == "__main__":
    main(sys.argv[1])
