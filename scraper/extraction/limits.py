"""How much of one page is kept, so that no page makes a giant record."""

from typing import Final

MAX_TAGS: Final = 1_000_000
MAX_DEPTH: Final = 512
MAX_ATTRIBUTES: Final = 256

MAX_TITLE_CHARS: Final = 1_000
MAX_DESCRIPTION_CHARS: Final = 2_000
MAX_URL_CHARS: Final = 2_048
MAX_LANGUAGE_CHARS: Final = 35

MAX_HEADINGS: Final = 200
MAX_HEADING_CHARS: Final = 500
MAX_HEADINGS_TOTAL_CHARS: Final = 100_000

MAX_ANCHORS: Final = 10_000
MAX_ANCHOR_TEXT_CHARS: Final = 500
MAX_ANCHORS_TOTAL_CHARS: Final = 1_000_000
MAX_REL_CHARS: Final = 100

MAX_IMAGES: Final = 1_000
MAX_ALT_CHARS: Final = 500

MAX_METAS: Final = 1_000
MAX_OPEN_GRAPH_NAMES: Final = 100
MAX_OPEN_GRAPH_VALUES: Final = 20
MAX_OPEN_GRAPH_NAME_CHARS: Final = 100
MAX_OPEN_GRAPH_CHARS: Final = 2_000

MAX_JSON_LD_BLOCKS: Final = 64
MAX_JSON_LD_TOTAL_CHARS: Final = 1_048_576
# orjson reads 1,024 levels but writes only 254, and a record adds its own.
MAX_JSON_LD_DEPTH: Final = 64

MAX_TEXT_CHARS: Final = 500_000
