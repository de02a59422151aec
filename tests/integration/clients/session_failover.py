#!/usr/bin/python3
"""Goal: a client in a session whose primary is killed again and again ends with each of its writes
executed exactly once, whatever it was told of them.

usage: session_failover.py GROUP PID HOST:PORT...   (PID: the primary's replica)
Ends with 0 when all held; prints what it saw.
"""
import os
import signal
import sys
import threading
import time

import redis
from redis.connection import Connection

END_S = 60  # ends a test that hangs
WRITES = 600
NO_NUMBER = "[no number]"  # at the end of an error to a write that was not executed, nor counted
BURST = 20  # writes that are sent before their replies are read
KILL_AT = 300


class Session:
    """What a client library would do: remembers what was sent and not answered, and resumes."""

    def __init__(self, nics, until):
        self.nics, self.until = nics, until
        self.connection = None
        self.id = None
        self.received = 0  # number of the last reply
        self.replies = {}
        self.resumed = 0

    def word(self, *words):
        self.connection.send_command(*words)
        return self.connection.read_response()

    def connect(self):
        """Finds a node that serves, and opens or resumes the session there."""
        while True:
            for host, port in self.nics:
                self.connection = Connection(host=host, port=port, socket_timeout=5)
                try:
                    if self.id is None:
                        self.id = self.word("SESSION.OPEN", "python").decode()
                        return []
                    missed = self.word("SESSION.RESUME", self.id, self.received)
                    self.resumed += 1
                    return missed
                except (redis.ConnectionError, redis.TimeoutError) as error:
                    print("meanwhile:", error)
                except redis.ResponseError as error:
                    print("meanwhile:", error)
                    assert "NOSESSION" not in str(error), error
                self.connection.disconnect()
            assert time.monotonic() < self.until, "no primary"
            time.sleep(0.01)

    def note(self, reply):
        self.received += 1
        assert self.received not in self.replies
        self.replies[self.received] = reply

    def reply(self):
        """The reply to a write, which may be an error; raises it if it used no number."""
        try:
            return self.connection.read_response(disable_decoding=True)
        except redis.ResponseError as error:
            if str(error).endswith(NO_NUMBER):
                raise
            return error

    def refused(self, *words):
        """Sends a write that is refused, and one behind it that would be executed."""
        self.connection.send_command(*words)
        self.connection.send_command("GETDEL", "python:text")
        for _ in range(2):
            try:
                raise AssertionError(self.reply())
            except redis.ResponseError as error:
                print("as it should be:", error)
        assert self.word("SESSION.NEXT", self.received + 1) == b"OK"

    def run(self, commands):
        """Has all of them executed, in order, each once."""
        first = self.received
        while self.received - first < len(commands):
            try:
                left = commands[self.received - first:]
                for words in left:
                    self.connection.send_command(*words)
                for _ in left:
                    self.note(self.reply())
            except redis.ResponseError as error:  # not executed, nor what follows
                print("meanwhile:", error)
                self.connection.disconnect()
                for reply in self.connect():
                    self.note(reply)
            except (redis.ConnectionError, redis.TimeoutError) as error:
                print("meanwhile:", error)
                for reply in self.connect():
                    self.note(reply)
        self.word("SESSION.ACK", self.received)


def main():
    pid = int(sys.argv[2])
    nics = [(a.rsplit(":", 1)[0], int(a.rsplit(":", 1)[1])) for a in sys.argv[3:]]
    until = time.monotonic() + END_S
    session = Session(nics, until)
    session.connect()
    assert session.word("SET", "python:count", 0) == b"OK"
    assert session.word("SET", "python:text", "") == b"OK"
    session.received = 2
    session.replies = {1: b"OK", 2: b"OK"}
    text = ""
    sent = 0
    while sent < WRITES:
        burst = []
        for n in range(sent // 2, (sent + BURST) // 2):
            burst.append(("INCR", "python:count"))
            burst.append(("APPEND", "python:text", "<%d>" % n))
            text += "<%d>" % n
        if sent == KILL_AT:
            # In the midst of the burst, as far as anybody can tell.
            killer = threading.Thread(target=os.kill, args=(pid, signal.SIGKILL))
            killer.start()
        session.run(burst)
        sent += BURST
    assert session.resumed >= 1, "the primary was killed, and nobody noticed"
    session.refused("SET", "python:text")
    session.refused("LPOP", "python:text")
    session.run([("SET", "python:other", "1", "NONSENSE"), ("SET", "python:other", "1")])
    assert isinstance(session.replies[WRITES + 3], redis.ResponseError), "executed, and an error"
    count, whole = session.word("GET", "python:count"), session.word("GET", "python:text")
    assert count == b"%d" % (WRITES // 2), count
    assert whole.decode() == text, "not each write once, and in order"
    # What INCR answered are the numbers in order: those of RESUME and those of before it.
    answers = [int(session.replies[n]) for n in range(3, WRITES + 3, 2)]
    assert answers == list(range(1, WRITES // 2 + 1)), answers
    while session.word("WAIT", 1, 1000) < 1:
        assert time.monotonic() < until, "never in sync again"
    assert session.word("SESSION.CLOSE") == b"OK"
    print("resumed", session.resumed, "times;", WRITES, "writes, each executed once")


main()
