"""The tables of measured loads that documents quote, as one JSON object by module: `python -m tests.bench.tables`.

One process plans each load once for all of them.
"""

from __future__ import annotations

import gc
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import accuracy, architectures

MODULES = {"tests.bench.accuracy": accuracy, "tests.bench.architectures": architectures}


def main() -> None:
    gc.disable()  # graphs have no cycles; looking for them takes a quarter of the time
    printed = {}
    for name, module in MODULES.items():
        with redirect_stdout(io.StringIO()) as text:
            module.main()
        printed[name] = text.getvalue()
    print(json.dumps(printed))


if __name__ == "__main__":
    main()
