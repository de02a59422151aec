"""Starts a node anew with NOTIFY_SOCKET, and prints what its nicd says there.

usage: notified.py SOCKET TWINSTEP RUN NODE
"""

import os
import socket
import subprocess
import sys


def main():
    path, twinstep, run, node = sys.argv[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(path)
        heard.settimeout(60)
        try:
            subprocess.run([twinstep, "down", "--dir", run, "--nic", node], check=True)
            env = dict(os.environ, NOTIFY_SOCKET=path)
            up = subprocess.run([twinstep, "up", "--dir", run, "--nic", node], check=False, env=env)
            print(heard.recv(4096).decode())
            print("up ended with status", up.returncode)
        finally:
            os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
