"""One line of JSON for each check of a Python driver: {"what": …, "failed": …}. A check fails by raising."""
import json
import os
import traceback

HOST = os.environ["PGHOST"]
PORT = int(os.environ["PGPORT"])
USER = os.environ["PGUSER"]
DATABASE = os.environ["PGDATABASE"]


def report(what, error=None):
    line = {"what": what}
    if error is not None:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith("_checks.py")]
        line["failed"] = f"{type(error).__name__}: {error} (line {ours[-1].lineno if ours else 0})"[:400].replace("\n", " | ")
    print(json.dumps(line), flush=True)


def expect_equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, not {wanted!r}")


def expect_refusal(kind, work):
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")
