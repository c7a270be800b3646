"""Decides how a task is called when its caller did not say: four words made from its id."""

from __future__ import annotations

ID_BYTES = 16

WORDS = tuple(
    """
    acorn alder almond alpine amber anchor apricot april arbor arch aspen aster atlas autumn
    bamboo banjo barley basil basket beach beacon beech bell berry birch bison blossom bluebell
    bonfire book bramble bread breeze brick bridge bronze brook bucket bugle butter button cabin
    cactus canal candle canoe canyon cardinal carrot castle cedar cello chalk cherry chestnut
    chime cider cinnamon citrus clay cliff clock cloud clover coast cobalt cocoa comet compass
    copper coral cork cottage cotton cove crane crater creek cricket crocus crystal cypress
    daisy dawn delta desert dewdrop dolphin dove dragon drum dune eagle easel echo elder elm
    ember emerald falcon feather fern ferry fiddle field finch fjord flint flute forest fountain
    fox frost garden garlic garnet gazelle geyser ginger glacier globe granite grape grove
    guitar gull hamlet harbor harp harvest hazel heather hedge heron hill honey horizon indigo
    iris island ivory ivy jacket jasmine jigsaw juniper kayak kettle kite koala lagoon lake
    lantern lark laurel lavender leaf ledge lemon lilac lily linden linen lobster lotus lupin
    lynx magnolia mango mantle maple marble marigold marsh meadow melody melon mesa meteor mill
    mint mirror mitten moon morning moss mountain mulberry mustard nectar nest north nutmeg oak
    oasis oat ocean olive onyx opal orbit orchard orchid otter owl oyster paddle palm papaya
    parade parsley pasture peach pear pebble pelican pepper petal pewter piano pigeon pillow
    pine planet plum pond poplar poppy prairie prism puffin pumpkin puzzle quail quarry quartz
    quill quilt quince rabbit radish rain raven reef ribbon river robin rocket rose saffron sail
    thistle violet violin walnut willow
    """.split()  # noqa: SIM905 - 256 quoted words would hide the list
)
"""A byte each. The names of stored tasks would change with their order, so it stays as it is."""


def name_of(task_id: str) -> str:
    """Make the name of an id of 32 hex digits: the same id, the same four words.

    Each word stands for four bytes of the id, folded into one; so names are for reading, and two
    tasks may have the same one.
    """
    try:
        raw = bytes.fromhex(task_id)
    except ValueError:
        raw = b""
    if len(raw) != ID_BYTES:
        raise ValueError(f"{task_id!r} is no task id: it must have 32 hex digits")
    return "-".join(
        [WORDS[raw[i] ^ raw[i + 1] ^ raw[i + 2] ^ raw[i + 3]] for i in range(0, ID_BYTES, 4)]
    )
