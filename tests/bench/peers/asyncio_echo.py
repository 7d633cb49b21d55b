"""The echo server on Python's asyncio, with a buffered protocol: its fastest way."""

import asyncio
import resource


class Echo(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = memoryview(bytearray(16 * 1024))

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        # What cannot be sent at once is copied by write(): the buffer is free again.
        self.transport.write(self.buffer[:count])

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=4096)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
