"""`attnbench new`: writes a variant file that passes `attnbench check`, ready to edit."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from rich.console import Console

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.store.names import is_reserved

CLASS, PHRASE = "MyAttention", "My attention"  # the template's own names


def write_variant(name: str, folder: Path, out: Console) -> Path:
    """Write folder/NAME.py from the template, print the next commands, and return the file.

    Raises BadInput for a name that a variant or a file on Windows cannot have, or that is taken, and for a file that is there already.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise BadInput(f"{name!r} cannot name a variant; give letters, digits and underscores, a letter first, such as my_attention")
    if is_reserved(name):
        raise BadInput(f"Windows keeps {name!r} for a device, and no file there can have it; choose another name")
    if name in registry.names("variants"):
        raise BadInput(f"{name!r} is the name of a registered variant (attnbench list variants); choose another")
    file = folder / f"{name}.py"
    words = [word for word in name.split("_") if word]
    text = resources.files("attnbench.variants").joinpath("_template.py").read_text(encoding="utf-8")
    text = text.replace(CLASS, "".join(word[:1].upper() + word[1:] for word in words).removesuffix("Attention") + "Attention")
    text = text.replace(PHRASE, " ".join(words).capitalize())
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise BadInput(f"{file.name} is there already, and nothing is overwritten; choose another name, or move that file") from None
    except OSError as error:
        raise BadInput(f"{file.name} cannot be written here: {error.strerror or error}; change to another folder") from error
    out.print(f"Wrote {file.name}: softmax attention by its matrix, to be replaced by your idea. Next:", highlight=False)
    for command in (f"check {file.name}", f"run --variant {file.name}", "show"):
        out.print(f"  attnbench {command}", highlight=False)
    return file
