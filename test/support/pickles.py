"""Python's own pickle, for the tests of ours. One JSON request a line comes in, one JSON answer a line goes out.

{"loads": BASE64}                                   the value, or {"error": REASON}
{"dumps": VALUE, "protocol": N, "how": HOW}         BASE64; HOW is "lists", "tuples" (for lists), or "shared": [v, (v, v)]
{"opcodes": true}                                   all of them, as [NAME, CHARACTER]
"""

import base64
import json
import pickle
import pickletools
import sys
import warnings

warnings.simplefilter("ignore")


def tuples(value):
    if isinstance(value, list):
        return tuple(tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return value


SHAPES = {"lists": lambda value: value, "tuples": tuples, "shared": lambda value: [value, (value, value)]}


def answer(request):
    if "opcodes" in request:
        return [[opcode.name, opcode.code] for opcode in pickletools.opcodes]
    if "loads" in request:
        try:
            # The strings of Python 2 are bytes to Python 3, unless an encoding is given.
            return pickle.loads(base64.b64decode(request["loads"]), encoding="utf-8")
        except Exception as error:
            return {"error": repr(error)}
    shaped = SHAPES[request["how"]](request["dumps"])
    return base64.b64encode(pickle.dumps(shaped, request["protocol"])).decode()


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
