"""GNU Radio's side of the live tests: run by the Python that GNU Radio was installed for, with a JSON list of what to do.

Every entry is a chain: {"do": "send" | "receive" | "take" | "say" | "hear" | "flood", "kind": "push" | ..., "address": ...,
...}. Says "running" once started, ends when every chain that receives has its `count` items and has written them to `out`.
"""

import json
import sys
import time

import numpy as np
import pmt
from gnuradio import blocks, gr, zeromq

LETTERS = {"complex64": "c", "float32": "f", "int32": "i", "int16": "s", "uint8": "b"}


def plain(value):
    """What JSON has no word for: arrays as lists, complex numbers as pairs."""
    return [value.real, value.imag] if isinstance(value, complex) else np.asarray(value).tolist()


def ours(spec, name):
    """A vector block of the type of `spec`."""
    return getattr(blocks, f"{name}_{LETTERS[spec['dtype']]}")


def endpoint(spec, direction):
    """A ZeroMQ stream block."""
    size, vlen = np.dtype(spec["dtype"]).itemsize, spec.get("vlen", 1)
    block = getattr(zeromq, f"{spec['kind']}_{direction}")
    last = [spec["key"]] if "key" in spec else []
    return block(size, vlen, spec["address"], 100, spec.get("tags", False), -1, *last)


def send(top, spec):
    """Items of a file."""
    data = np.load(spec["file"]).reshape(-1)
    tags = []
    for offset, key, value in spec.get("marks", []):
        tag = gr.tag_t()
        tag.offset, tag.key = offset, pmt.intern(key)
        tag.value = (
            pmt.make_tuple(pmt.from_uint64(value[0]), pmt.from_double(value[1]))
            if isinstance(value, list)
            else pmt.to_pmt(value)
        )
        tags.append(tag)
    source = ours(spec, "vector_source")(data.tolist(), spec.get("repeat", False), spec.get("vlen", 1), tags)
    top.connect(source, endpoint(spec, "sink"))


def flood(top, spec):
    """As much as there is."""
    size = np.dtype(spec["dtype"]).itemsize * spec.get("vlen", 1)
    top.connect(blocks.null_source(size), endpoint(spec, "sink"))


def receive(top, spec):
    """Items into a file; returns whether they are there."""
    vlen, count = spec.get("vlen", 1), spec["count"]
    sink = ours(spec, "vector_sink")(vlen)
    top.connect(endpoint(spec, "source"), sink)

    def done():
        if len(sink.data()) < count * vlen:
            return False
        np.save(spec["out"], np.array(sink.data()[: count * vlen], spec["dtype"]).reshape(count, vlen))
        tags = [[t.offset, pmt.symbol_to_string(t.key), pmt.to_python(t.value)] for t in sink.tags()]
        with open(spec["out"] + ".tags.json", "w") as file:
            json.dump(tags, file, default=plain)
        return True

    return done


def take(top, spec):
    """Items, of which nothing is kept."""
    size = np.dtype(spec["dtype"]).itemsize * spec.get("vlen", 1)
    top.connect(endpoint(spec, "source"), blocks.null_sink(size))


def say(top, spec):
    """PDUs with the rows of a file."""
    block = getattr(zeromq, f"{spec['kind']}_msg_sink")(spec["address"], 100, spec.get("bind", True))
    strobe = blocks.message_strobe(pmt.PMT_NIL, 10**6)
    top.msg_connect(strobe, "strobe", block, "in")

    def later():
        for number, row in enumerate(np.load(spec["file"])):
            meta = pmt.dict_add(pmt.make_dict(), pmt.intern("rx_freq"), pmt.from_double(1e9 + number))
            pdu = pmt.cons(meta, pmt.init_c32vector(len(row), row.tolist()))
            block.to_basic_block()._post(pmt.intern("in"), pdu)

    return later


def hear(top, spec):
    """Messages into a file, as Python prints them."""
    block = getattr(zeromq, f"{spec['kind']}_msg_source")(spec["address"], 100, spec.get("bind", False))
    store = blocks.message_debug()
    top.msg_connect(block, "out", store, "store")

    def done():
        if store.num_messages() < spec["count"]:
            return False
        heard = [pmt.to_python(store.get_message(k)) for k in range(spec["count"])]
        with open(spec["out"], "w") as file:
            json.dump(heard, file, default=plain)
        return True

    return done


def main():
    """Run what is asked for."""
    top = gr.top_block()
    asked = json.loads(sys.argv[1])
    made = {k: globals()[spec["do"]](top, spec) for k, spec in enumerate(asked)}
    top.start()
    for k, spec in enumerate(asked):
        if spec["do"] == "say":
            made[k]()
    print("running", flush=True)
    waiting = [made[k] for k, spec in enumerate(asked) if spec["do"] in ("receive", "hear")]
    while waiting:
        waiting = [done for done in waiting if not done()]
        time.sleep(0.02)
    if all(spec["do"] in ("send", "flood", "take", "say") for spec in asked):
        time.sleep(3600)  # until it is killed: what is on its way is in the sockets
    print("done", flush=True)
    sys.stdout.flush()
    import os

    os._exit(0)  # stop() hangs where a subscriber stalls


main()
