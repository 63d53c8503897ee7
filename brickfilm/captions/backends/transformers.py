"""TransformersBackend: a vision-language model in this process, from the Hub or a folder."""

from __future__ import annotations

import importlib.util
import io
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from brickfilm.captions.backend import (
    Capabilities,
    ChatMessage,
    ChatRequest,
    Completion,
    ModelInfo,
    Service,
    Usage,
)
from brickfilm.captions.json_reply import is_prose
from brickfilm.captions.reply_format import schema_instruction
from brickfilm.embeddings.model_loading import loading_model
from brickfilm.errors import Failed, UsageError
from brickfilm.schema.public_text import error_line

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class TransformersBackend:
    """Run a model of `transformers` here: `Captioner(model="Qwen/Qwen3-VL-4B-Instruct", ...)`.

    Requests that arrive while the model is busy go into the next batch together, so the captioner's
    `concurrency` should be at least `batch_size`.
    """

    device: str = field(default="auto", compare=False)
    """A device of torch; 'auto' is the first GPU, else the CPU."""
    dtype: str = field(default="auto", compare=False)
    """Type of the weights, as 'bfloat16'; 'auto' is the checkpoint's own."""
    batch_size: int = field(default=8, compare=False)

    capabilities = Capabilities(json_schema=False, priced=False)

    def check(self, service: Service) -> None:
        """Raise UsageError without the extra `local`, or if the model's folder has no model."""
        if missing := [name for name in PACKAGES if not importlib.util.find_spec(name)]:
            raise UsageError(
                f"a model in this process needs {' and '.join(missing)}: "
                "pip install 'brickfilm[local]'"
            )
        folder = Path(service.model)
        looks_like_path = folder.is_absolute() or service.model.startswith((".", "~"))
        if (looks_like_path or folder.is_dir()) and not (folder / "config.json").is_file():
            raise UsageError(
                f"model={service.model!r} is no folder with a config.json: give the folder of a "
                "downloaded model, or the id of one on the Hub"
            )

    @contextmanager
    def connect(self, service: Service) -> Iterator[LocalModel]:
        yield _load(service.model, self.device, self.dtype, self.batch_size)


@dataclass
class LocalModel:
    """A loaded model that any number of threads may ask; it answers them in batches."""

    name: str
    model: Any
    processor: Any
    batch_size: int
    _waiting: SimpleQueue[tuple[ChatRequest, Future[Completion]]] = field(
        default_factory=SimpleQueue
    )
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def complete(self, request: ChatRequest) -> Completion:
        """Answer a request, in one batch with those that wait beside it."""
        answer: Future[Completion] = Future()
        self._waiting.put((request, answer))
        with self._busy:
            while not answer.done():
                self._answer_batch(self._next_batch())
        return answer.result()

    def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(id=self.name)]

    def _next_batch(self) -> list[tuple[ChatRequest, Future[Completion]]]:
        batch: list[tuple[ChatRequest, Future[Completion]]] = []
        try:
            while len(batch) < self.batch_size:
                batch.append(self._waiting.get_nowait())
        except Empty:
            pass
        return batch

    def _answer_batch(self, batch: Sequence[tuple[ChatRequest, Future[Completion]]]) -> None:
        """Answer a batch; where the model fails, as for memory, each half, down to one request."""
        try:
            completions = self._generate([request for request, _ in batch])
        except (RuntimeError, ValueError, IndexError) as error:
            half = len(batch) // 2
            if half:
                self._answer_batch(batch[:half])
                return self._answer_batch(batch[half:])
            return batch[0][1].set_exception(_failure(self.name, error))
        except BaseException as error:
            for _, answer in batch:
                answer.set_exception(error)
            raise
        for (_, answer), completion in zip(batch, completions, strict=True):
            answer.set_result(completion)
        return None

    def _generate(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        import torch

        inputs = self._inputs(requests).to(self.model.device, self.model.dtype)
        temperature = requests[0].temperature  # the same in every request of a captioner
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                max_new_tokens=max(request.max_tokens for request in requests),
                **(sampling or {"do_sample": False}),
            )
        sent = inputs["input_ids"].shape[1]
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        return [
            self._completion(tokens[sent:], count)
            for tokens, count in zip(output, counts, strict=True)
        ]

    def _inputs(self, requests: Sequence[ChatRequest]) -> Any:
        """Return the model's input tensors, padded on the left to one length."""
        asked = [_in_words(request) for request in requests]
        texts = self.processor.tokenizer.apply_chat_template(
            [[_content(message) for message in messages] for messages in asked],
            chat_template=self.processor.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        images = [[_picture(jpeg) for m in messages for jpeg in m.jpegs] for messages in asked]
        return self.processor(text=texts, images=images, padding=True, return_tensors="pt")

    def _completion(self, tokens: torch.Tensor, sent: int) -> Completion:
        """Decode the new tokens of one request, up to the first that ends a reply."""
        ends = self.model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or ())
        said = tokens.tolist()
        stop = next((n for n, token in enumerate(said) if token in ends), None)
        text = self.processor.tokenizer.decode(said[:stop], skip_special_tokens=True)
        return Completion(
            text=text,
            model=self.name,
            finish_reason="length" if stop is None else "stop",
            usage=Usage(input=int(sent), output=len(said) if stop is None else stop + 1),
            may_be_prose=is_prose(text),
        )


def _failure(name: str, error: Exception) -> Failed:
    problem = error_line(error, 300)
    if "memory" in problem:
        remedy = "lower image_size= or the backend's batch_size=, or take a smaller model"
        return Failed(f"{name}: {problem}: {remedy}", reason="out of memory")
    return Failed(f"{name} cannot answer: {problem}", reason="model error")


@lru_cache(maxsize=1)  # the audit asks the same model again
def _load(name: str, device: str, dtype: str, batch_size: int) -> LocalModel:
    import torch
    from transformers import AutoModelForImageTextToText

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with loading_model(name):
        processor = _load_processor(name)
        model = AutoModelForImageTextToText.from_pretrained(
            name, dtype=dtype, trust_remote_code=False
        ).to(device)
    processor.tokenizer.padding_side = "left"  # generation continues at the right
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return LocalModel(name, model.eval(), processor, batch_size)


def _load_processor(name: str) -> Any:
    """Load a processor; where torchvision is missing, without the part that decodes videos."""
    import transformers

    if importlib.util.find_spec("torchvision"):
        return transformers.AutoProcessor.from_pretrained(name, trust_remote_code=False)
    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    kind = _processor_class(config.model_type)
    stills_only: Any = type(
        kind.__name__, (kind,), {"check_argument_for_proper_class": lambda *_: type(None)}
    )
    settings, _ = kind.get_processor_dict(name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    images = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    parts = [images, tokenizer, None]
    plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    return stills_only.from_args_and_dict(
        parts, {"chat_template": tokenizer.chat_template, **plain}
    )


def _processor_class(model_type: str) -> Any:
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    name = PROCESSOR_MAPPING_NAMES.get(model_type)
    if name is None:
        raise ValueError(f"models of type {model_type!r} read no pictures")
    return getattr(transformers, name if isinstance(name, str) else name[0])


def _in_words(request: ChatRequest) -> list[ChatMessage]:
    """Return the messages, with the schema of the reply in words at the end of the first."""
    first, *others = request.messages
    text = f"{first.text}\n\n{schema_instruction(request.schema)}"
    return [ChatMessage(role=first.role, text=text, jpegs=first.jpegs), *others]


def _content(message: ChatMessage) -> dict[str, Any]:
    pictures = [{"type": "image"}] * len(message.jpegs)
    return {"role": message.role, "content": [{"type": "text", "text": message.text}, *pictures]}


def _picture(jpeg: bytes) -> Any:
    import PIL.Image

    return PIL.Image.open(io.BytesIO(jpeg)).convert("RGB")
