"""Check the claims of captions against frames that the captioner did not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brickfilm.captions.answers import caption_from_answer
from brickfilm.captions.backend import Backend, BackendConnection, Detail
from brickfilm.captions.claims import split_claims
from brickfilm.captions.completion import (
    FAILURE_ADVICE,
    CaptionStage,
    check_token_limit,
    max_request_cost,
    max_tokens_of,
    open_captioning,
)
from brickfilm.captions.failure_limit import FailureLimit
from brickfilm.captions.forecast import forecast_requests, measured_usage
from brickfilm.captions.model_service import OPENAI, ModelService
from brickfilm.captions.pricing import Price
from brickfilm.captions.reply_format import DESCRIBED, format_reply
from brickfilm.captions.request import CaptionRequest, RequestParams
from brickfilm.captions.verification import (
    claims_request,
    longest_claims_request,
    request_verdicts,
    support,
)
from brickfilm.digest import digest_of
from brickfilm.engine.capabilities import DryRun, Paid
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import InvalidResponse, ItemError, NoResponse, Rejected
from brickfilm.records import Caption, Clip, with_fields

REVISION = (
    "Other frames of the shot contradict these statements of yours:\n{claims}\nWrite the caption "
    "again without them, keep everything else that it says, and answer in the same form."
)


@dataclass(frozen=True, kw_only=True)
class CaptionVerifier(ModelService, Stage[Clip, Clip], Paid, DryRun):
    """Score each clip's caption by the share of its claims that other frames support.

    A model, another one or the captioner's, answers yes, no or unclear to each claim, from the
    stills of `FrameSampler(check_at=...)`. A clip gets the scores `caption_support` (yes among yes
    and no; 1 if none could be judged) and `claims_unclear` (share of all). `Keep` drops by them.

    captioner: the stage that wrote the captions; where support is below `at_least`, it is asked
    for a second caption without the contradicted claims, which is checked again. Captions that a
    person wrote are not checked.
    """

    input_types = (Clip,)
    requires = ("caption", "check_stills")
    provides = ("caption_support", "claims_unclear")

    backend: Backend = OPENAI  # in every digest, unlike the captioner's: this stage began with it
    captioner: CaptionStage | None = None
    at_least: float = 1.0
    image_size: int = 512
    detail: Detail = "high"
    max_tokens: int = 400
    reasoning_effort: str | None = None

    def request(self, item: Clip) -> ClaimsCheck:
        """Return the check of a clip's caption."""
        return ClaimsCheck(self, item)

    def key(self, request: ClaimsCheck) -> str:
        """Digest the claims, the stills, and what a second caption is asked for."""
        asked_again = [self.captioner.request(request.clip).key] if self.captioner else []
        return digest_of([*request.first.key, *asked_again], 32)

    def worst_case_cost(self, request: ClaimsCheck) -> float | None:
        """Return the cost of the check; with a captioner, of a second caption and check as well."""
        if not request.claims:
            return None
        has_budget = self.budget is not None
        parts = self._worst_requests(request)
        return sum(max_request_cost(sent, price, has_budget=has_budget) for sent, price in parts)

    def _worst_requests(self, check: ClaimsCheck) -> Iterator[tuple[CaptionRequest, Price | None]]:
        """Yield the requests that a check can lead to, as long as they can be, and their prices."""
        yield check.first, self.price
        if self.captioner:
            revision = check.revision(check.claims)
            yield revision, self.captioner.price
            yield longest_claims_request(check.first, revision.max_tokens), self.price

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[ClaimsCheck], Answer]]:
        limit = FailureLimit(self.max_failures_in_a_row, FAILURE_ADVICE)
        with ExitStack() as exits:
            connection = exits.enter_context(self.backend.connect(self.service))
            ask = None
            if self.captioner:
                opened = open_captioning(self.captioner, work, limits_tokens=False)
                ask = exits.enter_context(opened)

            def compute(check: ClaimsCheck) -> Answer:
                self._check_token_limits(check, work)
                if ask is None:
                    return limit.call(lambda: self._verdicts(connection, check, work))
                return limit.call(lambda: self._with_revision(connection, check, work, ask))

            yield compute

    def _check_token_limits(self, check: ClaimsCheck, work: Path) -> None:
        """Raise Waiting if all the requests of a check could pass our limit or the captioner's."""
        if check.claims:
            tokens = sum(max_tokens_of(*part) for part in self._worst_requests(check))
            for stage in filter(None, (self, self.captioner)):
                check_token_limit(stage, tokens, work)

    def _verdicts(self, connection: BackendConnection, check: ClaimsCheck, work: Path) -> Answer:
        if not check.claims:
            return {"claims": [], "verdicts": [], "cost": 0.0}
        return request_verdicts(connection, check.first, check.claims, work, self.price)

    def _with_revision(
        self,
        connection: BackendConnection,
        check: ClaimsCheck,
        work: Path,
        ask: Callable[[CaptionRequest], Answer],
    ) -> Answer:
        """Check the caption; if it falls short, get a second one and check that."""
        first = self._verdicts(connection, check, work)
        if support(first["verdicts"]) >= self.at_least:
            return first
        verdicts = zip(first["claims"], first["verdicts"], strict=True)
        paid = [first]
        try:
            revised = ask(check.revision([claim for claim, said in verdicts if said == "no"]))
            paid.append(revised)
            if revised["status"] != DESCRIBED:
                return {**first, **_total(paid)}
            caption = caption_from_answer(revised, _prompt_digest(check.clip))
            again = ClaimsCheck(self, with_fields(check.clip, caption=caption))
            second = self._verdicts(connection, again, work)
        except InvalidResponse as error:  # what was paid before it counts as well
            bill = {**error.bill, **_total([*paid, error.bill])}
            raise InvalidResponse(str(error), reason=error.reason, bill=bill) from error
        except NoResponse:
            raise  # all that the item can cost stays reserved
        except ItemError as error:
            bill = _total(paid)
            raise InvalidResponse(str(error), reason=error.reason, bill=bill, final=True) from error
        return {**second, **_total([*paid, second]), "revised": revised}

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip | Rejected]:
        verdicts = answer["verdicts"]
        if revised := answer.get("revised"):
            item = with_fields(item, caption=caption_from_answer(revised, _prompt_digest(item)))
        unclear = verdicts.count("unclear") / len(verdicts) if verdicts else 0.0
        yield item.with_scores(caption_support=support(verdicts), claims_unclear=unclear)

    def simulate(self, item: Clip) -> Iterable[Clip]:
        yield item.with_scores(caption_support=1.0, claims_unclear=0.0)

    def forecast(self, items: Sequence[Clip], work: Path) -> str:
        requests = [check.first for item in items if (check := self.request(item)).claims]
        usage = measured_usage(work, self.digest)
        more = "\n  second captions and their checks come on top" if self.captioner else ""
        total = forecast_requests(requests, self, usage, prompt="claims", clips=len(requests))
        return f"{total}{more}"


@dataclass(frozen=True)
class ClaimsCheck:
    """The check of one clip's caption."""

    stage: CaptionVerifier
    clip: Clip

    @cached_property
    def claims(self) -> tuple[str, ...]:
        """The claims of the caption; none if there is no caption, or a person wrote it."""
        caption = self.clip.caption
        if caption is None or caption.status != DESCRIBED or caption.is_edited:
            return ()
        return split_claims(caption)

    @cached_property
    def first(self) -> CaptionRequest:
        """The request that checks the claims."""
        stage = self.stage
        params = RequestParams(
            model=stage.model,
            image_size=stage.image_size,
            detail=stage.detail,
            max_tokens=stage.max_tokens,
            reasoning_effort=stage.reasoning_effort,
        )
        return claims_request(self.clip, self.claims, params)

    def revision(self, contradicted: Sequence[str]) -> CaptionRequest:
        """Return the request for a second caption without these claims."""
        assert self.stage.captioner is not None
        caption = self.clip.caption or Caption(text="")
        prompt = REVISION.format(claims="\n".join(f"- {claim}" for claim in contradicted))
        request = self.stage.captioner.request(self.clip)
        return request.with_revision(format_reply(caption.text, caption.aspects), prompt)


def _prompt_digest(clip: Clip) -> str:
    return clip.caption.prompt_digest if clip.caption else ""


def _total(bills: Sequence[Any]) -> dict[str, Any]:
    """Add up tokens and costs in US dollars; no cost if one of them is unknown."""
    costs = [bill.get("cost") for bill in bills]
    counts = ("input_tokens", "output_tokens")
    tokens = {name: sum(bill.get(name) or 0 for bill in bills) for name in counts}
    return {**tokens, "cost": None if None in costs else sum(costs)}
