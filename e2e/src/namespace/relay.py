# Relays bytes. Arguments come in pairs: what listens, what that leads to; each is `unix:/path` or `tcp:port` of 127.0.0.1.
import asyncio
import sys

PIECE = 64 * 1024


async def copy(reader, writer):
    try:
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def listen(way, answer):
    kind, where = way.split(":", 1)
    if kind == "unix":
        return await asyncio.start_unix_server(answer, where)
    return await asyncio.start_server(answer, "127.0.0.1", int(where))


async def connect(way):
    kind, where = way.split(":", 1)
    if kind == "unix":
        return await asyncio.open_unix_connection(where)
    return await asyncio.open_connection("127.0.0.1", int(where))


async def relay(way, target):
    async def answer(reader, writer):
        try:
            to_reader, to_writer = await connect(target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    return await listen(way, answer)


async def main(ways):
    servers = [await relay(way, target) for way, target in zip(ways[::2], ways[1::2])]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(sys.argv[1:]))
