#!/usr/bin/python3
"""Goal: who listens on a NIC is told that the primary changed, and messages go their way.

usage: switch_message.py GROUP PID HOST:PORT...   (PID: the primary's replica)
Ends with 0 when all held; prints what it saw.
"""
import os
import signal
import sys

import redis

END_S = 60  # ends a test that hangs


def next_message(listener):
    while True:
        message = listener.get_message(ignore_subscribe_messages=True, timeout=END_S)
        if message is not None:
            return message


def main():
    group, pid = sys.argv[1], int(sys.argv[2])
    nics = [(a.rsplit(":", 1)[0], int(a.rsplit(":", 1)[1])) for a in sys.argv[3:]]
    one = redis.Redis(host=nics[0][0], port=nics[0][1], decode_responses=True)
    old = one.sentinel_get_master_addr_by_name(group)
    survivors = [nic for nic in nics if nic != old]
    listeners = []
    for host, port in survivors:
        client = redis.Redis(host=host, port=port, decode_responses=True)
        listener = client.pubsub()
        listener.psubscribe("+switch*")
        listener.subscribe("news")
        listener.get_message(timeout=END_S)
        listener.get_message(timeout=END_S)
        assert client.publish("news", "hello") == 1
        message = next_message(listener)
        assert (message["type"], message["data"]) == ("message", "hello"), message
        assert client.pubsub_numsub("news") == [("news", 1)] and client.pubsub_numpat() == 1
        listeners.append(listener)
    os.kill(pid, signal.SIGKILL)
    for listener in listeners:
        message = next_message(listener)
        assert message["type"] == "pmessage" and message["channel"] == "+switch-master", message
        name, old_host, old_port, new_host, new_port = message["data"].split()
        assert name == group and (old_host, int(old_port)) == old, message
        assert (new_host, int(new_port)) in survivors, message
        print(message["data"])


main()
