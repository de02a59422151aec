"""Two transport nodes, their workloads and controllers that say what they are told to: network
namespaces, for the tests of netctl-agent.

A test is called with the directory of the programs, controller=SOUTH_CONTROLLER, and the names of
its stories (all, if none is named). Exit status: 0 they held, 1 one did not, 77 no namespaces can
be made here.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

WAIT_S = 60
ORDER = "%020d"


def run(*words, **more):
    more.setdefault("timeout", WAIT_S * 4)
    return subprocess.run(words, capture_output=True, text=True, check=False, **more)


def must(*words):
    result = run(*words)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {result.stdout}{result.stderr}")
    return result.stdout


def ip(*words):
    return must("ip", *words)


def until(what, condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain: {what}")
        time.sleep(0.01)


def check(what, is_so):
    if not is_so:
        raise AssertionError(what)


class Node:
    def __init__(self, world, number):
        self.world, self.name = world, f"node{number}"
        self.vtep = f"192.168.77.{number}"
        self.table, self.options = {}, []

    def inside(self, *words):
        return ("ip", "netns", "exec", self.name, *words)

    def write(self, name="table"):
        path = os.path.join(self.world.dir, f"{self.name}-{name}.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(self.table, out)
        return path

    def write_empty(self):
        table, self.table = self.table, {}
        path = self.write("empty")
        self.table = table
        return path

    def agent(self, *options, first=None, status=0):
        command = self.inside(os.path.join(self.world.bin, "netctl-agent"), "--vtep", self.vtep,
                              "--apply", first or self.write(), *self.options, *options)
        result = run(*command)
        if result.returncode != status:
            raise AssertionError(f"{self.name}: the agent ends with {result.returncode}:\n"
                                 f"{result.stdout}{result.stderr}")
        return result.stdout

    def is_settled(self):
        """A dry run has nothing left to do."""
        lines = [line for line in self.agent("--dry-run").splitlines() if line.startswith("  ")]
        return not lines

    def counts(self, kind, number):
        found = [0, 0]
        for line in self.agent("--statistics").splitlines():
            words = line.split()
            if words[:2] == [kind, str(number)]:
                found = [found[0] + int(words[2]), found[1] + int(words[4])]
        return found


class Place:
    """A network namespace of its own."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        must(*self.inside("sysctl", "-qw", "net.ipv4.ping_group_range=0 1000"))

    def inside(self, *words):
        return ("ip", "netns", "exec", self.name, *words)

    def pings(self, other, patience=WAIT_S):
        """One answer is enough; none after so many seconds is none."""
        address = getattr(other, "address", other)
        return run(*self.inside("ping", "-n", "-c", "1", "-i", "0.2", "-w", str(patience),
                                address)).returncode == 0

    def is_silent_to(self, other):
        address = getattr(other, "address", other)
        text = run(*self.inside("ping", "-n", "-c", "5", "-i", "0.05", "-W", "1",
                                address)).stdout
        return "0 received" in text

    def serves(self, port):
        code = ("import socket,sys\ns=socket.socket();"
                "s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);"
                f"s.bind(('0.0.0.0',{port}));s.listen(9);print('up',flush=True)\n"
                "while True:\n c,_=s.accept()\n while True:\n  d=c.recv(99)\n"
                "  if not d: break\n  c.sendall(d)\n c.close()\n")
        return self.world.start(self.inside(sys.executable, "-c", code), "up")

    def connects(self, other, port, patience=2):
        return connects(self, getattr(other, "address", other), port, patience)


class Workload(Place):
    """With one interface, at a port of a node."""

    def __init__(self, node, name, number, vni, address, gateway):
        super().__init__(node.world, name)
        self.node, self.number, self.vni = node, number, vni
        self.address, self.mac = address, "02:00:00:00:00:%02x" % number
        net = address.split(".")[1]
        self.address6 = f"fd00:{net}::{number}"
        ip("link", "add", f"port{number}", "netns", node.name, "type", "veth", "peer", "name",
           "eth0", "netns", name)
        ip("-n", node.name, "link", "set", f"port{number}", "up", "alias",
           f"twinstep-vif=vm{number}")
        ip("-n", name, "link", "set", "eth0", "address", self.mac, "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "addr", "add", f"{self.address6}/64", "dev", "eth0", "nodad")
        ip("-n", name, "route", "add", "default", "via", gateway)
        ip("-n", name, "route", "add", "default", "via", f"fd00:{net}::1", "dev", "eth0")

    def item(self, guard=False):
        return {"segment": self.vni, "vif": f"vm{self.number}", "mac": self.mac,
                "ips": [self.address, self.address6], "guard": guard, "path": f"/vm{self.number}"}


def connects(place, address, port, patience=2):
    """ok, refused or silence."""
    code = ("import socket,sys\ns=socket.socket();s.settimeout(%d)\n"
            "try:\n s.connect(('%s',%d));s.sendall(b'hello');"
            "print('ok' if s.recv(9)==b'hello' else 'odd')\n"
            "except ConnectionRefusedError: print('refused')\n"
            "except OSError as e: print('refused' if e.errno==113 else 'silence')\n"
            % (patience, address, port))
    return run(*place.inside(sys.executable, "-c", code)).stdout.strip()


class Controller:
    """south_controller on node2: says what it is told, and what it has heard."""

    def __init__(self, world, name, port):
        self.world, self.heard = world, []
        out = os.path.join(world.dir, name)
        must(world.controller, "--issue", os.path.join(world.dir, "ca"), name, out)
        node = world.nodes[1]
        self.process = subprocess.Popen(node.inside(world.controller, out, node.vtep, str(port)),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        world.processes.append(self.process)
        check("the controller does not listen", "listens" in self.process.stdout.readline())
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.heard.append(line.strip())

    def say(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def has_heard(self, *beginning):
        begin = " ".join(str(word) for word in beginning) + " "
        return [line for line in self.heard if line.startswith(begin)]


class World:
    def __init__(self, bin_dir, controller):
        self.controller = controller
        self.bin, self.dir, self.processes = bin_dir, tempfile.mkdtemp(prefix="netctl-agent-"), []
        self.nodes = []
        for number in (1, 2):
            node = Node(self, number)
            ip("netns", "add", node.name)
            ip("-n", node.name, "link", "set", "lo", "up")
            self.nodes.append(node)
        ip("link", "add", "under0", "netns", "node1", "type", "veth", "peer", "name", "under0",
           "netns", "node2")
        for node in self.nodes:
            ip("-n", node.name, "link", "set", "under0", "up", "mtu", "1600")
            ip("-n", node.name, "addr", "add", f"{node.vtep}/24", "dev", "under0")
        n1, n2 = self.nodes
        gate = {1: "10.1.0.1", 2: "10.2.0.1"}
        self.a = Workload(n1, "a", 11, 5001, "10.1.0.11", gate[1])
        self.b = Workload(n1, "b", 12, 5001, "10.1.0.12", gate[1])
        self.c = Workload(n2, "c", 13, 5001, "10.1.0.13", gate[1])
        self.d = Workload(n2, "d", 14, 5002, "10.2.0.14", gate[2])
        self.workloads = [self.a, self.b, self.c, self.d]
        for node in self.nodes:
            node.table = self.base(node)

    def start(self, command, says):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True)
        self.processes.append(process)
        check(f"{command}: does not say {says}", says in process.stdout.readline())
        return process

    def base(self, node):
        table = {"router/7": {"path": "/infra/tier-1s/t1"}}
        for vni, net in ((5001, 1), (5002, 2)):
            table[f"segment/{vni}"] = {"name": f"s{vni}", "mtu": 1500, "router": 7,
                                       "gateway": [f"10.{net}.0.1/24", f"fd00:{net}::1/64"],
                                       "mac": "02:ff:00:00:00:01"}
            for other in self.nodes:
                if other is not node:
                    table[f"flood/{vni}/{other.vtep}"] = True
        for w in self.workloads:
            if w.node is node:
                table[f"port/{w.number}"] = w.item()
            else:
                table[f"remote/{w.vni}/{w.mac}"] = {"vtep": w.node.vtep,
                                                    "ips": [w.address, w.address6]}
        return table

    def agents(self, *options):
        for node in self.nodes:
            node.agent(*options)

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.dir)


def rule(number, action, **more):
    return {"id": number, "path": f"/rules/{number}", "action": action, "stateful": True,
            "direction": "IN_OUT", **more}


def tcp(port):
    return [{"protocol": 6, "destination": [str(port)]}]


ICMP = [{"protocol": 1}]


def put_rules(node, *rules):
    for key in [k for k in node.table if k.startswith("rule/")]:
        del node.table[key]
    for place, one in enumerate(rules, 1):
        node.table["rule/" + ORDER % (place * 1000)] = one


def start_follower(w, node):
    config = {"node": node.name, "vtep": node.vtep, "state": f"{w.dir}/state",
              "ca": f"{w.dir}/{node.name}/ca.pem", "key": f"{w.dir}/{node.name}/node.key",
              "certificate": f"{w.dir}/{node.name}/node.pem",
              "controllers": [f"{w.nodes[1].vtep}:{port}" for port in (7501, 7502)],
              "controller-names": ["nic1", "nic2"]}
    path = os.path.join(w.dir, "agent.yaml")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(config, out)  # JSON is YAML
    log = open(os.path.join(w.dir, "agent.log"), "a", encoding="utf-8")
    process = subprocess.Popen(node.inside(os.path.join(w.bin, "netctl-agent"), "--config", path),
                               stdout=log, stderr=log)
    w.processes.append(process)
    return process


def main(name, stories):
    """Runs the stories that are named, or all; the first one always."""
    if "inside" not in sys.argv:
        flags = ["--net", "--mount", "--pid", "--fork", "--kill-child"]
        if os.getuid() != 0:
            flags += ["--user", "--map-root-user"]
        if run("unshare", *flags, "true").returncode != 0:
            print(f"{name}: network namespaces cannot be made here: skipped")
            return 77
        os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv, "inside"])
    must("mount", "-t", "tmpfs", "none", "/run")
    os.makedirs("/run/netns")
    must("mount", "-t", "proc", "none", "/proc")
    if run("nft", "add table inet probe").returncode != 0:
        print(f"{name}: nft cannot be used here: skipped")
        return 77
    programs = [word[len("controller="):] for word in sys.argv if word.startswith("controller=")]
    world = World(os.path.abspath(sys.argv[1]), os.path.abspath(programs[0]) if programs else None)
    wanted = [word for word in sys.argv[2:] if word != "inside" and "=" not in word]
    try:
        for story in stories:
            if wanted and story.__name__[6:] not in wanted and story is not stories[0]:
                continue
            print(f"{story.__name__[6:]}: {story.__doc__}", flush=True)
            begin = time.monotonic()
            story(world)
            print(f"  held, {time.monotonic() - begin:.1f} s", flush=True)
    except AssertionError as error:
        print(f"FAILED: {error}")
        return 1
    finally:
        world.end()
    return 0
