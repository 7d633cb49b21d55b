"""The chat room as a program of its own, over TCP: build/08-chat (exercise 08.5).

What a member hears, and when, is tested where the clock jumps: 08.5-chat_room_test.cpp.
"""

import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
PATIENCE = 10 * float(os.environ.get("PATIENCE") or "1")  # seconds, after which a wait has failed
QUESTION = "* what is your name?\n"


class Chat(unittest.TestCase):
    def setUp(self):
        self.server = subprocess.Popen([BUILD / "08-chat", "--port", "0"], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.server.communicate)
        self.addCleanup(self.server.kill)
        ready, _, _ = select.select([self.server.stdout], [], [], PATIENCE)
        self.assertTrue(ready, "the first line should come at once")
        line = self.server.stdout.readline()
        self.assertRegex(line, r"^listening on 127\.0\.0\.1:\d+\n$")
        self.port = int(line.rpartition(":")[2])

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def join(self, name):
        client = self.connect()
        client.sendall(name.encode() + b"\r\n")
        self.hears(client, QUESTION + f"* {name} has joined\n")
        return client

    def hears(self, client, expected):
        heard = b""
        try:
            while len(heard) < len(expected):
                block = client.recv(len(expected) - len(heard))
                if not block:
                    break
                heard += block
        except TimeoutError:
            pass
        self.assertEqual(heard.decode(), expected)

    def test_two_talk(self):
        """two talk, one breaks off, the other says that this is all"""
        ada = self.join("ada")
        bob = self.join("bob")
        self.hears(ada, "* bob has joined\n")
        ada.sendall(b"good eve")
        ada.sendall(b"ning\n")
        for client in (ada, bob):
            self.hears(client, "ada: good evening\n")
        bob.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        bob.close()  # a reset
        self.hears(ada, "* bob has left\n")
        ada.sendall(b"bye\n")
        ada.shutdown(socket.SHUT_WR)
        self.hears(ada, "ada: bye\n* ada has left\n")
        self.assertEqual(ada.recv(1), b"", "then the connection should be closed")

    def test_signal(self):
        """SIGTERM ends it in order, whatever its members wait for"""
        ada = self.join("ada")
        self.connect()
        slow = self.join("slow")
        for _ in range(200):  # slow does not read them
            ada.sendall(b"#" * 500 + b"\n")
            self.assertTrue(ada.recv(2000), "ada hears what she says")
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(PATIENCE), 0)
        self.assertEqual(self.server.stderr.read(), "")
        slow.close()


if __name__ == "__main__":
    unittest.main()
