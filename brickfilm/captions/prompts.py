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

from brickfilm.engine.stage import digest_of
from brickfilm.errors import UsageError

Subject = Literal["clips", "images"]
_SUFFIX: dict[Subject, str] = {"clips": ".md", "images": ".image.md"}


class BadPrompt(UsageError):
    """A prompt that is not there, or is not written as docs/captions.md says."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model is told, with holes for what the sampler decides.

    `{{ count }}` and `{{ percentages }}` are filled from the stills that are really sent.
    """

    name: str
    version: int
    subject: Subject
    rules: tuple[str, ...]
    """Lint rules that this prompt's captions have to keep."""
    text: str

    @cached_property
    def digest(self) -> str:
        return digest_of([self.subject, self.text])

    def render(self, at: Sequence[float]) -> str:
        """The words as sent, for stills at these positions (0..1) of the shot."""
        try:
            return _filled(self.text, tuple(at))
        except jinja2.TemplateError as error:
            raise BadPrompt(
                f"prompt {self.name!r}: {error}; it may use {{{{ count }}}} and "
                "{{ percentages }}"
            ) from error


def percentages(at: Sequence[float]) -> str:
    """'20 %, 50 % and 80 %'."""
    words = [f"{100 * p:.3g} %" for p in at]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@lru_cache(maxsize=1)
def builtin() -> tuple[str, ...]:
    """Names of the prompts that come with the package."""
    names = (entry.name for entry in _shipped().iterdir())
    return tuple(sorted(n[:-3] for n in names if n.endswith(".md") and ".image" not in n))


def load(name: str | Path, subject: Subject = "clips") -> Prompt:
    """A prompt by its name, or by the path of a Markdown file.

    The prompt for images of `x.md` is `x.image.md` beside it.
    """
    if str(name) in builtin():
        return _built_in(str(name), subject)
    path = Path(name)
    if subject == "images" and not path.name.endswith(_SUFFIX["images"]):
        path = path.with_suffix(_SUFFIX["images"])
    prompt = _read(path, _stamp(path))
    if prompt.subject != subject:
        raise BadPrompt(f"{path} is a prompt for {prompt.subject}, {subject} were asked")
    return prompt


def parse(text: str, origin: str) -> Prompt:
    """A prompt from its Markdown; `origin` names it in errors."""
    _, fence, rest = text.partition("---\n")
    head, closing, body = rest.partition("\n---\n")
    if not fence or not closing:
        raise BadPrompt(
            f"{origin} has no front matter: begin it with '---', name, version, for, '---'"
        )
    try:
        facts = yaml.safe_load(head)
        subject = facts["for"]
        if subject not in _SUFFIX:
            raise BadPrompt(f"{origin}: for: {subject!r}, expected 'clips' or 'images'")
        return Prompt(
            name=str(facts["name"]),
            version=int(facts["version"]),
            subject=subject,
            rules=tuple(facts.get("rules", ())),
            text=body.strip(),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise BadPrompt(f"{origin}: front matter must hold name, version, for ({error})") from error


def _shipped() -> resources.abc.Traversable:
    return resources.files("brickfilm.captions") / "prompts"


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        known = ", ".join(builtin())
        raise BadPrompt(f"no prompt {str(path)!r}: a name ({known}) or a Markdown file") from error


@lru_cache(maxsize=16)
def _built_in(name: str, subject: Subject) -> Prompt:
    source = _shipped() / f"{name}{_SUFFIX[subject]}"
    return parse(source.read_text(encoding="utf-8"), source.name)


@lru_cache(maxsize=256)
def _filled(text: str, at: tuple[float, ...]) -> str:
    """Rendered once for each prompt and sampler, not once for each clip."""
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined)
    return str(template.render(count=len(at), percentages=percentages(at))).strip()


@lru_cache(maxsize=64)
def _read(path: Path, stamp: int) -> Prompt:
    """Read once for each version of the file, not once for each clip."""
    return parse(path.read_text(encoding="utf-8"), str(path))
