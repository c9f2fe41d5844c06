"""A link between network namespaces that delays packets, in changing order, and loses some: what netem does, which not
every kernel has. It routes IPv4 packets between TUN devices, of which it makes one for each name that it is given. The
device at place N has the address that ends in N + 1. Each passage of a device but the first one delays and loses.

Usage: python3 link.py DELAY_MS JITTER_MS LOSS DEVICE...

It writes "ready" when the devices are there. A line "cut N" or "join N" ends and begins the passage of a device, and is
written back when it does; the end of the input ends the program, and with it the devices.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x1001


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_WITHOUT_HEADER))
    return device


def main():
    delay, jitter = float(sys.argv[1]) / 1000, float(sys.argv[2]) / 1000
    loss = float(sys.argv[3])
    devices = [open_device(name) for name in sys.argv[4:]]
    cut = set()
    waiting = []
    count = 0
    poll = select.poll()
    for source in [*devices, sys.stdin.fileno()]:
        poll.register(source, select.POLLIN)
    print("ready", flush=True)

    while True:
        timeout = None if not waiting else max(0, (waiting[0][0] - time.monotonic()) * 1000)
        for source, _ in poll.poll(timeout):
            if source not in devices:
                commands = os.read(source, 1000).decode()
                if not commands:
                    return
                for command in commands.splitlines():
                    word, place = command.split()
                    (cut.add if word == "cut" else cut.discard)(int(place))
                    print(command, flush=True)
                continue
            packet = os.read(source, 65536)
            start = devices.index(source)
            # the version, and the last byte of the receiver's address
            if packet[0] >> 4 != 4 or not 1 <= packet[19] <= len(devices):
                continue
            end = packet[19] - 1
            passages = [place for place in (start, end) if place > 0]
            if cut & {start, end} or any(random.random() < loss for _ in passages):
                continue
            due = time.monotonic() + sum(delay + random.uniform(-jitter, jitter) for _ in passages)
            count += 1
            heapq.heappush(waiting, (due, count, end, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(waiting)
            if end not in cut:
                try:
                    os.write(devices[end], packet)
                except OSError:
                    # the other side of the device is down
                    pass


main()
