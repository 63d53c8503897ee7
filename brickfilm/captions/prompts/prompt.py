"""Load prompts (Markdown with front matter) and render them for an item's stills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import jinja2
import yaml

from brickfilm.captions.aspects import STRUCTURE
from brickfilm.captions.lint import RULES
from brickfilm.captions.token_bounds import counted_tokens, margin_of_counted, max_text_tokens
from brickfilm.digest import digest_of
from brickfilm.errors import UsageError

ItemKind = Literal["clips", "images"]
_SUFFIX: dict[ItemKind, str] = {"clips": ".md", "images": ".image.md"}
VIDEO_NOTE = (
    "You are shown the whole shot as one video, in place of the stills: what is said of the stills "
    "holds for its frames."
)
"""Paragraph added to a prompt whose request holds the clip itself."""


class BadPrompt(UsageError):
    """The prompt does not exist, or its file is not written as docs/captions.md says."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt template and the lint rules for its captions.

    `{{ count }}` and `{{ percentages }}` are filled in from the stills that are sent.
    """

    name: str
    version: int
    item_kind: ItemKind
    rules: tuple[str, ...]
    """Lint rules that the audit checks captions against."""
    text: str
    is_structured: bool = False
    """True if the reply is to have aspects beside the caption."""

    def of_video(self) -> Prompt:
        """Return the prompt for a whole shot as a video: another text, so another digest."""
        return replace(self, text=f"{self.text}\n\n{VIDEO_NOTE}")

    def structured(self) -> Prompt:
        """Return the prompt that asks for aspects as well: another text, so another digest."""
        return replace(self, text=f"{self.text}\n\n{STRUCTURE}", is_structured=True)

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the item kind and the template; name, version and rules do not count."""
        return digest_of([self.item_kind, self.text])

    def max_tokens(self, at: Sequence[float]) -> int | None:
        """Return the most tokens of the text for stills at these positions; None if not counted."""
        return _max_tokens(self.digest, tuple(at))

    def render(self, at: Sequence[float]) -> str:
        """Render the text for stills at these positions (0..1) of the shot."""
        try:
            return _render(self.text, tuple(at))
        except jinja2.TemplateError as error:
            raise BadPrompt(
                f"prompt {self.name!r}: {error}; it may use {{{{ count }}}} and "
                "{{ percentages }}"
            ) from error


def format_percentages(at: Sequence[float]) -> str:
    """Format positions (0..1) as '20 %, 50 % and 80 %'."""
    parts = [f"{100 * p:.3g} %" for p in at]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


@lru_cache(maxsize=1)
def builtin_prompts() -> tuple[str, ...]:
    """Return the names of the prompts that come with the package."""
    names = (entry.name for entry in _prompt_folder().iterdir())
    return tuple(sorted(n[:-3] for n in names if n.endswith(".md") and ".image" not in n))


@lru_cache(maxsize=1)
def names_by_digest() -> Mapping[str, str]:
    """Return the names of the built-in prompts, in every form, by digest."""
    kinds: tuple[ItemKind, ...] = ("clips", "images")
    forms = [load_prompt(name, kind) for name in builtin_prompts() for kind in kinds]
    forms += [form.of_video() for form in forms if form.item_kind == "clips"]
    return {p.digest: p.name for form in forms for p in (form, form.structured())}


def load_prompt(name: str | Path, item_kind: ItemKind = "clips") -> Prompt:
    """Load a prompt by its name, or from a Markdown file.

    The prompt for images of `x.md` is `x.image.md` beside it.
    """
    if str(name) in builtin_prompts():
        return _load_builtin(str(name), item_kind)
    path = Path(name)
    if item_kind == "images" and not path.name.endswith(_SUFFIX["images"]):
        path = path.with_suffix(_SUFFIX["images"])
    prompt = _load_file(path, _mtime_ns(path))
    if prompt.item_kind != item_kind:
        raise BadPrompt(f"{path} is a prompt for {prompt.item_kind}, not for {item_kind}")
    return prompt


def parse_prompt(text: str, origin: str) -> Prompt:
    """Parse a prompt's Markdown; errors call it `origin`."""
    _, fence, rest = text.partition("---\n")
    head, closing, body = rest.partition("\n---\n")
    if not fence or not closing:
        raise BadPrompt(
            f"{origin} has no front matter: begin it with '---', name, version, for, '---'"
        )
    try:
        header = yaml.safe_load(head)
        item_kind = header["for"]
        if item_kind not in _SUFFIX:
            raise BadPrompt(f"{origin}: for: {item_kind!r}, expected 'clips' or 'images'")
        return Prompt(
            name=str(header["name"]),
            version=int(header["version"]),
            item_kind=item_kind,
            rules=_rules(header.get("rules", []), origin),
            text=body.strip(),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise BadPrompt(f"{origin}: front matter must hold name, version, for ({error})") from error


def _rules(given: object, origin: str) -> tuple[str, ...]:
    """Return the names of lint rules; BadPrompt for what is no list of them."""
    names = given if isinstance(given, list) else [given]
    unknown = [name for name in names if name not in tuple(RULES)]
    if unknown or names is not given:
        wrong = ", ".join(map(str, unknown or names))
        raise BadPrompt(f"{origin}: rules: {wrong}: give a list of {', '.join(RULES)}")
    return tuple(names)


def _prompt_folder() -> resources.abc.Traversable:
    return resources.files("brickfilm.captions") / "prompts"


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        names = ", ".join(builtin_prompts())
        raise BadPrompt(
            f"no prompt {str(path)!r}: give a name ({names}) or a Markdown file"
        ) from error


@lru_cache(maxsize=16)
def _load_builtin(name: str, item_kind: ItemKind) -> Prompt:
    source = _prompt_folder() / f"{name}{_SUFFIX[item_kind]}"
    return parse_prompt(source.read_text(encoding="utf-8"), source.name)


@lru_cache(maxsize=256)
def _render(text: str, at: tuple[float, ...]) -> str:
    """Render once for each prompt and sampler, not once for each clip."""
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined)
    return str(template.render(count=len(at), percentages=format_percentages(at))).strip()


@lru_cache(maxsize=256)
def _max_tokens(digest: str, at: tuple[float, ...]) -> int | None:
    counted = counted_tokens().get(digest)
    if counted is None:
        return None
    return margin_of_counted(counted) + max_text_tokens(f"{len(at)} {format_percentages(at)}")


@lru_cache(maxsize=64)
def _load_file(path: Path, mtime_ns: int) -> Prompt:
    """Load once for each version of the file, not once for each clip."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrompt(f"the prompt {str(path)!r} is no file in UTF-8: {error}") from error
    return parse_prompt(text, str(path))
