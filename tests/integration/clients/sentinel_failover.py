#!/usr/bin/python3
"""Goal: a client of Redis' Sentinel finds the primary, and goes on with the new one.

usage: sentinel_failover.py GROUP PID HOST:PORT...   (PID: the primary's replica)
Ends with 0 when all held; prints what it saw.
"""
import os
import signal
import sys
import time

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

END_S = 60  # ends a test that hangs


def ask(what, until):
    """Asks again while there is no primary; the client object stays the same."""
    while True:
        try:
            return what()
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
            if time.monotonic() > until:
                raise
            print("meanwhile:", error)
            time.sleep(0.01)


def check_words(sentinel, group, nics):
    """What each NIC tells agrees with what the others tell."""
    master = sentinel.discover_master(group)
    for host, port in nics:
        one = redis.Redis(host=host, port=port, decode_responses=True)
        masters = one.sentinel_masters()
        assert list(masters) == [group], masters
        state = masters[group]
        assert (state["ip"], state["port"]) == master, state
        assert state["is_master"] and not state["is_odown"], state
        assert state["num-slaves"] == state["num-other-sentinels"] == len(nics) - 1, state
        assert one.sentinel_get_master_addr_by_name(group) == master
        assert one.sentinel_get_master_addr_by_name("another") is None
        slaves = one.sentinel_slaves(group)
        others = [nic for nic in nics if nic != master]
        assert sorted((s["ip"], s["port"]) for s in slaves) == sorted(others), slaves
        assert all(s["is_slave"] for s in slaves), slaves
        assert len(one.sentinel_sentinels(group)) == len(nics) - 1
    return master


def main():
    group, pid = sys.argv[1], int(sys.argv[2])
    nics = [(a.rsplit(":", 1)[0], int(a.rsplit(":", 1)[1])) for a in sys.argv[3:]]
    until = time.monotonic() + END_S
    sentinel = Sentinel(nics, socket_timeout=5)
    old = check_words(sentinel, group, nics)
    client = sentinel.master_for(group, socket_timeout=5)
    assert client.set("found", "yes") is True
    assert client.get("found") == b"yes"
    try:
        sentinel.discover_master("another")
        raise AssertionError("there is no such group")
    except MasterNotFoundError:
        pass
    os.kill(pid, signal.SIGKILL)
    ask(lambda: client.set("after", "yes"), until)
    assert client.get("found") == b"yes" and client.get("after") == b"yes"
    new = client.connection_pool.master_address
    assert new != old and new in nics, (old, new)
    # The replica that was killed comes back, and holds what was written without it.
    while client.wait(1, 1000) < 1:
        assert time.monotonic() < until, "never in sync again"
    print("from", old, "to", new)


main()
