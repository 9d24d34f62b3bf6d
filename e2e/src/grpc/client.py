"""Calls xds:///HOST methods in a steady rhythm; one line of JSON for each call.

client.py PAUSE_SECONDS HOST PATH [HOST PATH ...]

Messages are bytes as they stand, so no code is generated: the answer's message is the name of the server.
"""

import json
import sys
import threading
import time

import grpc

CALL_WITHIN_SECONDS = 10

output = threading.Lock()


def record(host, path, start, **outcome):
    line = {"host": host, "path": path, "start": start, "end": time.time(), **outcome}
    with output:
        print(json.dumps(line), flush=True)


def main():
    pause = float(sys.argv[1])
    targets = list(zip(sys.argv[2::2], sys.argv[3::2]))
    channels = {host: grpc.insecure_channel("xds:///" + host) for host, _ in targets}
    while True:
        for host, path in targets:
            call(channels[host], host, path)
            time.sleep(pause)


def call(channel, host, path):
    start = time.time()

    def done(future):
        error = future.exception()
        if error is None:
            record(host, path, start, upstream=future.result().decode())
        else:
            record(host, path, start, failure=f"{error.code().name}: {error.details()}")

    method = channel.unary_unary(path)
    method.future(b"", timeout=CALL_WITHIN_SECONDS).add_done_callback(done)


main()
