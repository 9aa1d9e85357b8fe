"""Send a worker's answers: small values through its pipe, arrays through a file in memory that both hold open.

A pipe holds few bytes at a time, so sending arrays through it would switch between the processes many times.
"""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from multiprocessing.connection import Connection
from typing import Any


def open_file() -> io.FileIO:
    """Open a file without a name, in memory if the system can, else in the temporary folder."""
    if hasattr(os, "memfd_create"):
        return io.FileIO(os.memfd_create("avd-reply"), "r+b")
    with tempfile.TemporaryFile() as file:
        return io.FileIO(os.dup(file.fileno()), "r+b")


def send(connection: Connection, file: io.FileIO, value: Any) -> None:
    """Send a value to the process that calls `receive` with the same file."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    file.seek(0)
    parts = [buffer.raw() for buffer in buffers]
    for part in parts:
        written = 0
        while written < len(part):
            written += file.write(part[written:]) or 0
    connection.send((head, [len(part) for part in parts]))


def receive(connection: Connection, file: io.FileIO) -> Any:
    """Receive a value, and free the file's memory; raise EOFError if the file holds less than announced."""
    head, sizes = connection.recv()
    file.seek(0)
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        view, taken = memoryview(buffer), 0
        while taken < len(view):
            count = file.readinto(view[taken:])
            if not count:
                raise EOFError
            taken += count
    file.truncate(0)
    return pickle.loads(head, buffers=buffers)
