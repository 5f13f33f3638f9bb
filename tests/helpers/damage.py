"""Damages real records, check reports and peaks, the same way for the same seed: what a store may hold after years, merges and editors."""

from __future__ import annotations

import codecs
import copy
import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from helpers.damage_values import AXES, FACTS, FIELDS, METRICS, NUMBERS, OTHERS, SAMPLES, TEXTS
from helpers.paths import REPO

SEED = 16
PARTS = ("spec", "environment", "measurements", "curve", "origin", "clocks", "stages_s", "")  # "" is the record itself
Line = tuple[Path, bytes]  # the file of a line in its store, and the line


def nested(depth: int, of_lists: bool) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found] if of_lists else {"in": found}
    return found


def odd(chance: random.Random, like: Any = None) -> Any:
    """A value of another size, or of another type. like: the value whose place it takes."""
    if like is not None and not isinstance(like, (bool, dict, list)) and chance.random() < 0.6:
        number = chance.choice(NUMBERS)
        return chance.choice(TEXTS) if isinstance(like, str) else type(like)(number) if abs(number) < 1e18 else number
    kind = chance.random()
    if kind < 0.4:
        return chance.choice(TEXTS)
    if kind < 0.75:
        return chance.choice(NUMBERS)
    if kind < 0.97:
        return copy.deepcopy(chance.choice(OTHERS))
    return nested(chance.choice((5, 9, 50, 300)), chance.random() < 0.5)


def real_records() -> list[dict[str, Any]]:
    """The records of the repository's own results, as plain JSON values."""
    files = sorted((REPO / "results" / "records").glob("*/*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def damaged(chance: random.Random, record: dict[str, Any]) -> bytes:
    """A record with one to three things wrong with it, as a line; often one that is odd, and no more: its values are all of their types."""
    raw = copy.deepcopy(record)
    spoil = _make_odd if chance.random() < 0.4 else _damage
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        spoil(chance, raw)
    if chance.random() < 0.8:
        _give_id(raw)
    line = json.dumps(raw, ensure_ascii=chance.random() < 0.5 or "\\ud" in json.dumps(raw)).encode() + b"\n"
    return chance.choice(_OF_BYTES)(chance, line) if chance.random() < 0.05 else line


def damaged_document(chance: random.Random, document: dict[str, Any]) -> bytes:
    """A check report or a machine's file with one to three things wrong with it."""
    raw = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 2, 3))):
        _damage(chance, raw, ("",))
    content = json.dumps(raw).encode() + b"\n"
    return chance.choice(_OF_BYTES)(chance, content) if chance.random() < 0.1 else content


def _give_id(raw: dict[str, Any]) -> None:
    """Give a record the id of its spec, if that is one: then nothing but the damage is wrong with it."""
    try:
        raw["id"] = Spec(**raw["spec"]).key()
    except (BadInput, TypeError, KeyError, AttributeError, ValueError, RecursionError):
        return


def _make_odd(chance: random.Random, raw: dict[str, Any]) -> None:
    """Change values of a record to others that a record may have, however unlikely: most of the result can be read."""
    kind = chance.random()
    if kind < 0.35:
        axis = chance.choice([name for name in AXES if name in raw["spec"]])
        raw["spec"][axis] = copy.deepcopy(chance.choice(AXES[axis]))
    elif kind < 0.45:
        field = chance.choice(list(FIELDS))
        raw[field] = copy.deepcopy(chance.choice(FIELDS[field]))
    elif kind < 0.6:
        fact = chance.choice(list(FACTS))
        raw["environment"][fact] = copy.deepcopy(chance.choice(FACTS[fact]))
    else:
        columns = raw["curve"] if raw["curve"] and chance.random() < 0.3 else raw["measurements"]
        metric = chance.choice([*columns, chance.choice(METRICS)])
        samples = [chance.choice(SAMPLES) for _ in range(chance.choice((0, 1, 2, 3, 20)))]
        columns[metric] = [chance.choice(SAMPLES)] * 5 if chance.random() < 0.3 else samples
        if columns is raw["measurements"] and metric.endswith("_s"):
            columns[metric] = [abs(x) or 1.0 for x in columns[metric]]


def _damage(chance: random.Random, raw: dict[str, Any], parts: tuple[str, ...] = PARTS) -> None:
    part = chance.choice(parts)
    target: Any = raw.get(part) if part else raw
    while isinstance(target, (dict, list)) and target and not part and chance.random() < 0.5:  # somewhere inside
        inner = [of for of in (target.values() if isinstance(target, dict) else target) if isinstance(of, (dict, list))]
        if not inner:
            break
        target = chance.choice(inner)
    if isinstance(target, dict):
        _damage_object(chance, target)
    elif isinstance(target, list):
        _damage_list(chance, target)
    elif part:
        raw[part] = odd(chance)


def _damage_object(chance: random.Random, target: dict[str, Any]) -> None:
    names = list(target)
    kind = chance.random()
    if not names or kind < 0.1:  # one field more
        target[chance.choice((*TEXTS, "x"))] = odd(chance)
    elif kind < 0.25:  # one less
        del target[chance.choice(names)]
    elif kind < 0.35:  # two change places
        one, other = chance.choice(names), chance.choice(names)
        target[one], target[other] = target[other], target[one]
    else:
        name = chance.choice(names)
        inner = target[name]
        if isinstance(inner, list) and inner and chance.random() < 0.6:
            _damage_list(chance, inner)
        else:
            target[name] = odd(chance, inner)


def _damage_list(chance: random.Random, target: list[Any]) -> None:
    kind = chance.random()
    if not target or kind < 0.2:
        target.append(odd(chance))
    elif kind < 0.4:
        del target[chance.randrange(len(target)) :]
    elif kind < 0.5:
        target[:] = [chance.choice(NUMBERS)] * len(target)
    else:
        place = chance.randrange(len(target))
        target[place] = odd(chance, target[place])


def _cut(chance: random.Random, line: bytes) -> bytes:
    return line[: chance.randrange(len(line))] + b"\n"


def _other_byte(chance: random.Random, line: bytes) -> bytes:
    place = chance.randrange(len(line) - 1)
    return line[:place] + bytes([chance.randrange(256)]) + line[place + 1 :].rstrip(b"\n") + b"\n"


def _said_twice(chance: random.Random, line: bytes) -> bytes:
    name = chance.choice(("id", "schema", "status", "machine", "spec"))
    return line.replace(b"{", json.dumps({name: odd(chance)}).encode()[:-1] + b", ", 1)


_OF_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _cut,
    _other_byte,
    _said_twice,
    lambda chance, line: line.decode().encode("utf-16"),
    lambda chance, line: line.decode().encode("latin-1", "replace"),
    lambda chance, line: codecs.BOM_UTF8 + line,
    lambda chance, line: line.replace(b"\n", b"\r"),
    lambda chance, line: line.replace(b"\n", b"\r\n"),
    lambda chance, line: b"[" + line.rstrip() + b"]\n",
    lambda chance, line: gzip.compress(line, mtime=0) + b"\n",
    lambda chance, line: b"[" * 100_000 + b"\n",
)


class DamagedStores:
    """Stores of damaged records beside whole ones, check reports and peaks; the records of a store begin at different seconds."""

    def __init__(self, seed: int = SEED) -> None:
        self._chance = random.Random(seed)
        self._real = real_records()
        self._reports = sorted((REPO / "results" / "checks").glob("*.json"))
        self._machines = sorted((REPO / "results" / "machines").glob("*.json"))

    def make(self, folder: Path, count: int, whole: int) -> list[Line]:
        """Write a store with `count` damaged records and `whole` others, and return its damaged lines."""
        chance, found, files = self._chance, [], dict[Path, list[bytes]]()
        kinds = [True] * count + [False] * whole
        chance.shuffle(kinds)
        for number, is_damaged in enumerate(kinds):
            record = {
                **chance.choice(self._real),
                "started_at": f"2026-11-{1 + number // 3600:02}T00:{number // 60 % 60:02}:{number % 60:02}Z",
            }
            line = damaged(chance, record) if is_damaged else json.dumps(record).encode() + b"\n"
            file = Path("records", record["machine"], f"{record['session']}.jsonl")
            files.setdefault(folder / file, []).append(line)
            found += [(file, line)] * is_damaged
        for file in self._reports:
            content = damaged_document(chance, json.loads(file.read_bytes())) if chance.random() < 0.7 else file.read_bytes()
            files[folder / "checks" / file.name] = [content]
        for file in self._machines:
            content = damaged_document(chance, json.loads(file.read_bytes())) if chance.random() < 0.7 else file.read_bytes()
            files[folder / "machines" / file.name] = [content]
        for file, lines in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"".join(lines))
        return found


def with_lines(folder: Path, lines: Sequence[Line]) -> Path:
    """A store that holds these lines beside three whole records."""
    whole = real_records()[:3]
    given = [(Path("records", one["machine"], f"{one['session']}.jsonl"), json.dumps(one).encode() + b"\n") for one in whole]
    for place, line in (*given, *lines):
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(line)
    return folder
