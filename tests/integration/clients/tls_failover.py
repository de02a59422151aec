#!/usr/bin/python3
"""Goal: over TLS, with a user's password, a client of Redis' Sentinel goes on with the new primary.

usage: tls_failover.py GROUP PID CA-FILE USER PASSWORD HOST:PORT...   (PID: the primary's replica)
Ends with 0 when all held; prints what it saw.
"""
import os
import signal
import sys
import time

import redis
from redis.sentinel import Sentinel

END_S = 60  # ends a test that hangs


def main():
    group, pid, ca_file, user, password = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
    nics = [(a.rsplit(":", 1)[0], int(a.rsplit(":", 1)[1])) for a in sys.argv[6:]]
    login = {"username": user, "password": password, "socket_timeout": 5}
    tls = {"ssl": True, "ssl_ca_certs": ca_file}
    until = time.monotonic() + END_S
    sentinel = Sentinel(nics, sentinel_kwargs={**login, **tls})
    old = sentinel.discover_master(group)
    client = sentinel.master_for(group, **login, **tls)
    while True:  # the nodes take the new user when their signal comes through
        try:
            assert client.set("found", "x" * 100000) is True
            break
        except redis.ResponseError as error:
            assert time.monotonic() < until, error
    os.kill(pid, signal.SIGKILL)
    while True:
        try:
            client.set("after", "yes")
            break
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
            assert time.monotonic() < until, error
            print("meanwhile:", error)
            time.sleep(0.01)
    assert client.get("found") == b"x" * 100000
    new = client.connection_pool.master_address
    assert new != old and new in nics, (old, new)
    print("from", old, "to", new)


main()
