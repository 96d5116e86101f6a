#!/usr/bin/env python3
"""A worker on the standard library alone: python3 examples/worker.py URL TOKEN_FILE BOT

It counts the words of inputs.text. The token is made with: signalbox tokens create NAME --role worker --bot BOT
SIGTERM and ctrl-c end it after the run that it has in hand.
"""

import json
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

WAIT_MS = 20_000
PAUSE_S = 2


class RpcError(Exception):
    """An error that the router answered: code, message, data."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.data = error.get("data", {})


class Router:
    """Calls of methods over HTTP. The token file is read at every call, so a new token works without a restart."""

    def __init__(self, url, token_file):
        self.url = url.rstrip("/") + "/rpc"
        self.token_file = token_file

    def call(self, method, **params):
        with open(self.token_file, encoding="ascii") as file:
            token = file.read().strip()
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        request = urllib.request.Request(self.url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            answer = json.load(error)
            if "jsonrpc" not in answer:
                raise RpcError({"code": -error.code, "message": answer.get("detail", str(error))}) from error
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]


class Lease:
    """A run that is held: heartbeats go on beside the work, and say when it must stop."""

    def __init__(self, router, lease):
        self.router = router
        self.ids = {"run_id": lease["run_id"], "lease_token": lease["lease_token"]}
        self.delivery = lease["delivery"]
        self.lost = False
        self.cancelled = False
        self.ended = threading.Event()
        # A third of the time that the lease lasts: two heartbeats may fail.
        self.every = max(1.0, (lease["lease_until"] / 1000 - time.time()) / 3)

    def beat(self):
        while not self.ended.wait(self.every):
            try:
                state = self.router.call("run.heartbeat", **self.ids)
                self.cancelled = self.cancelled or state.get("cancel_requested", False)
            except RpcError:
                self.lost = True
                return
            except OSError as error:
                print(f"worker: {error}", file=sys.stderr)

    def call(self, method, **params):
        return self.router.call(method, **self.ids, **params)

    def work(self):
        self.call("run.start")
        beating = threading.Thread(target=self.beat, daemon=True)
        beating.start()
        try:
            result = count(self)
            if not self.lost:
                self.call("run.complete", result=result)
        except ValueError as error:
            self.call("run.fail", error=str(error))
        finally:
            self.ended.set()


def count(lease):
    """The work itself. Raises ValueError for inputs that cannot be worked on."""
    text = (lease.delivery["inputs"] or {}).get("text")
    if not isinstance(text, str):
        raise ValueError(f"inputs.text must be a string; found {json.dumps(text)}")
    words = text.split()
    lease.call("run.log", text=f"counted {len(words)} words")
    return {"words": len(words)}


def main(url, token_file, bot_id):
    router = Router(url, token_file)
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    while not stopping.is_set():
        try:
            leases = router.call("run.claim", bot_id=bot_id, wait_ms=WAIT_MS)["leases"]
        except RpcError as error:
            if error.code in (-401, -32015, -32002):
                sys.exit(f"worker: {error}")
            print(f"worker: {error}", file=sys.stderr)
            stopping.wait(PAUSE_S)
            continue
        except OSError as error:
            print(f"worker: {error}", file=sys.stderr)
            stopping.wait(PAUSE_S)
            continue
        for lease in leases:
            try:
                Lease(router, lease).work()
            except (RpcError, OSError) as error:
                print(f"worker: run {lease['run_id']}: {error}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("worker: expected URL TOKEN_FILE BOT")
    main(*sys.argv[1:])
