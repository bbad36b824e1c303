"""The stream runtime: ports, wire, links, flowgraphs, checkpoints. It knows nothing of radar.

from isacblocks.stream import Block, Field, Flowgraph, In, Out, Record, Setting, Source, State
"""

from isacblocks.stream.block import Block, Source
from isacblocks.stream.declare import Reading, Setting, State
from isacblocks.stream.errors import BlockError, CheckpointError, PlacementError, StreamError, WireError, WiringError
from isacblocks.stream.flowgraph import Flowgraph
from isacblocks.stream.keeper import Restart
from isacblocks.stream.link import EdgeCount
from isacblocks.stream.plan import Status
from isacblocks.stream.ports import In, Out, Port
from isacblocks.stream.spec import ANY, Field, Items, Layout, Record

__all__ = [
    "ANY",
    "Block",
    "BlockError",
    "CheckpointError",
    "EdgeCount",
    "Field",
    "Flowgraph",
    "In",
    "Items",
    "Layout",
    "Out",
    "PlacementError",
    "Port",
    "Reading",
    "Record",
    "Restart",
    "Setting",
    "Source",
    "State",
    "Status",
    "StreamError",
    "WireError",
    "WiringError",
]
