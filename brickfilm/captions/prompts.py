"""Prompts: Markdown with a front matter, the stills' own percentages filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import jinja2
import yaml

from brickfilm.digest import digest_of
from brickfilm.errors import UsageError

ItemKind = Literal["clips", "images"]
_SUFFIX: dict[ItemKind, str] = {"clips": ".md", "images": ".image.md"}


class BadPrompt(UsageError):
    """A prompt that is not there, or is not written as docs/captions.md says."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model is told, with holes for what the sampler decides.

    `{{ count }}` and `{{ percentages }}` are filled from the stills that are really sent.
    """

    name: str
    version: int
    item_kind: ItemKind
    rules: tuple[str, ...]
    """Lint rules that this prompt's captions have to keep."""
    text: str

    @cached_property
    def digest(self) -> str:
        return digest_of([self.item_kind, self.text])

    def render(self, at: Sequence[float]) -> str:
        """The words as sent, for stills at these positions (0..1) of the shot."""
        try:
            return _render(self.text, tuple(at))
        except jinja2.TemplateError as error:
            raise BadPrompt(
                f"prompt {self.name!r}: {error}; it may use {{{{ count }}}} and "
                "{{ percentages }}"
            ) from error


def format_percentages(at: Sequence[float]) -> str:
    """'20 %, 50 % and 80 %'."""
    words = [f"{100 * p:.3g} %" for p in at]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@lru_cache(maxsize=1)
def builtin_prompts() -> tuple[str, ...]:
    """Names of the prompts that come with the package."""
    names = (entry.name for entry in _prompt_folder().iterdir())
    return tuple(sorted(n[:-3] for n in names if n.endswith(".md") and ".image" not in n))


def load_prompt(name: str | Path, item_kind: ItemKind = "clips") -> Prompt:
    """A prompt by its name, or by the path of a Markdown file.

    The prompt for images of `x.md` is `x.image.md` beside it.
    """
    if str(name) in builtin_prompts():
        return _load_builtin(str(name), item_kind)
    path = Path(name)
    if item_kind == "images" and not path.name.endswith(_SUFFIX["images"]):
        path = path.with_suffix(_SUFFIX["images"])
    prompt = _load_file(path, _mtime_ns(path))
    if prompt.item_kind != item_kind:
        raise BadPrompt(f"{path} is a prompt for {prompt.item_kind}, {item_kind} were asked")
    return prompt


def parse_prompt(text: str, origin: str) -> Prompt:
    """A prompt from its Markdown; `origin` names it in errors."""
    _, fence, rest = text.partition("---\n")
    head, closing, body = rest.partition("\n---\n")
    if not fence or not closing:
        raise BadPrompt(
            f"{origin} has no front matter: begin it with '---', name, version, for, '---'"
        )
    try:
        facts = yaml.safe_load(head)
        item_kind = facts["for"]
        if item_kind not in _SUFFIX:
            raise BadPrompt(f"{origin}: for: {item_kind!r}, expected 'clips' or 'images'")
        return Prompt(
            name=str(facts["name"]),
            version=int(facts["version"]),
            item_kind=item_kind,
            rules=tuple(facts.get("rules", ())),
            text=body.strip(),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise BadPrompt(f"{origin}: front matter must hold name, version, for ({error})") from error


def _prompt_folder() -> resources.abc.Traversable:
    return resources.files("brickfilm.captions") / "prompts"


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        known = ", ".join(builtin_prompts())
        raise BadPrompt(f"no prompt {str(path)!r}: a name ({known}) or a Markdown file") from error


@lru_cache(maxsize=16)
def _load_builtin(name: str, item_kind: ItemKind) -> Prompt:
    source = _prompt_folder() / f"{name}{_SUFFIX[item_kind]}"
    return parse_prompt(source.read_text(encoding="utf-8"), source.name)


@lru_cache(maxsize=256)
def _render(text: str, at: tuple[float, ...]) -> str:
    """Rendered once for each prompt and sampler, not once for each clip."""
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined)
    return str(template.render(count=len(at), percentages=format_percentages(at))).strip()


@lru_cache(maxsize=64)
def _load_file(path: Path, stamp: int) -> Prompt:
    """Read once for each version of the file, not once for each clip."""
    return parse_prompt(path.read_text(encoding="utf-8"), str(path))
