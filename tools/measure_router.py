"""Measure the router: tasks, domains, languages and speed. Prints a JSON line for each figure.

    python -m tools.measure_router --data FOLDER [--only task domain language speed]

FOLDER holds labelled datasets as NAME.parquet (columns text, label, lang, domain, split). Heads are trained
on the rows of `train` and measured on those of `test`; keywords, naive Bayes and the commonest label are
fitted to the same rows. Complexity is measured by `tools.measure_complexity`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from router import baselines
from router.assets import asset_path
from router.evaluation import quality, share
from router.findings import Wanted
from router.language import identify_language
from router.ngrams import ngram_counts
from router.route_labels import TASKS
from router.route_training import RouteRows, fit_route_head
from router.surface import surface_features
from router.text_view import view_texts
from transforms.bench_router import bench_router
from transforms.route_records import RouterPlace, load_router
from transforms.shipped_rows import shipped_rows
from transforms.text_encoder import ENCODER, TextEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.route_head import RouteHead

KEYWORDS = {
    "summarization": ("summar", "tl;dr", "总结", "概括", "摘要"),
    "translation": ("translat", "into french", "into english", "翻译"),
    "code": ("code", "python", "function", "sql", "代码", "编程", "程序"),
    "math": ("calculate", "equation", "solve", "计算", "方程", "求解"),
    "rewriting": ("rewrite", "paraphrase", "polish", "correct", "改写", "润色", "重写"),
    "classification": ("classify", "category", "categor", "sentiment", "分类", "归类"),
    "extraction": ("extract", "keywords", "提取", "关键词"),
    "text_generation": ("write", "story", "poem", "email", "写一", "生成", "编写"),
    "brainstorming": ("ideas", "brainstorm", "suggest", "list", "列出", "点子"),
    "closed_qa": ("passage", "according to", "based on the", "根据", "文章"),
    "open_qa": ("what is", "explain", "how do", "who ", "什么", "如何", "为什么"),
    "advice": ("should i", "advice", "recommend", "plan", "建议", "推荐", "应该"),
    "chat_roleplay": ("pretend", "act as", "role", "hello", "扮演", "你好"),
    "analysis": ("analy", "compare", "evaluate", "分析", "比较"),
}
_MIXED_SETS = (
    "sst2",
    "tweet_sentiment",
    "trec",
    "banking77",
    "emotion",
    "ja_hotel",
    "xlmt",
    "finance",
    "prompts_task",
)
_LONG = 40
_SEED = 20240607


def tell(what: str, **figures: object) -> None:
    """Print a line."""
    print(json.dumps({"what": what, **figures}, ensure_ascii=False), flush=True)  # noqa: T201 - the tool's output


def _summary(said: Sequence[str], gold: Sequence[str], sure: Sequence[float | None]) -> dict[str, Any]:
    found = quality(said, gold, sure)
    accuracy = found["accuracy"]
    return {
        "records": len(said),
        "accuracy": round(accuracy["rate"], 4),
        "interval": [round(accuracy["low"], 4), round(accuracy["high"], 4)],
        "macro_f1": round(found["macro_f1"], 4),
        "calibration_error": found["calibration"]["expected_error"],
    }


def compare(  # noqa: PLR0913, PLR0917 - a table's row is so long
    what: str,
    encoder: TextEncoder,
    train: Sequence[tuple[str, str]],
    more: Sequence[tuple[str, str]],
    test: pl.DataFrame,
    label: str,
) -> None:
    """A head trained on rows, and `more` that count half, beside the baselines; by language."""
    texts, labels = zip(*train, *more, strict=True)
    weights = np.repeat((1.0, 0.5), (len(train), len(more)))
    head = fit_route_head(RouteRows(view_texts(texts, encoder.encode_all), labels, weights)).head
    rows, gold = test["text"].to_list(), test[label].to_list()
    said, sure = _say(head, rows, encoder)
    tell(what, way="router", rows=len(train), shipped_rows=len(more), **_summary(said, gold, sure))
    for language in test["lang"].value_counts(sort=True)["lang"].head(8):
        at = [number for number, one in enumerate(test["lang"]) if one == language]
        part = ([values[i] for i in at] for values in (said, gold, sure))
        tell(what, way="router", language=language, **_summary(*part))
    ways = {
        "majority": baselines.majority([one for _, one in train], rows),
        "naive Bayes": baselines.naive_bayes(train, rows),
    }
    if set(gold) <= set(TASKS):
        ways["keywords"] = baselines.keywords(train, rows, KEYWORDS)
    for way, answers in ways.items():
        tell(what, way=way, **_summary(answers, gold, [None] * len(answers)))


def _say(head: RouteHead, texts: Sequence[str], encoder: TextEncoder) -> tuple[list[str], list[float]]:
    found = head.probabilities(view_texts(texts, encoder.encode_all))
    return [head.labels[at] for at in found.argmax(axis=1)], [float(one) for one in found.max(axis=1)]


def tasks(data: pathlib.Path, encoder: TextEncoder) -> None:
    """prompts_task: with and without the shipped rows, and the shipped heads as they are."""
    rows = pl.read_parquet(data / "prompts_task.parquet")
    train, test = (rows.filter(pl.col("split") == split) for split in ("train", "test"))
    pairs = list(zip(train["text"], train["label"], strict=True))
    compare("task", encoder, pairs, list(shipped_rows("task")), test, "label")
    compare("task, train alone", encoder, pairs, [], test, "label")
    head = load_router(RouterPlace()).router.task
    said, sure = _say(head, test["text"].to_list(), encoder)  # type: ignore[arg-type]
    for language in ("en", "zh"):
        at = [number for number, one in enumerate(test["lang"]) if one == language]
        part = ([values[i] for i in at] for values in (said, test["label"].to_list(), sure))
        tell("task, shipped heads", language=language, **_summary(*part))


def domains(data: pathlib.Path, encoder: TextEncoder) -> None:
    """The column `domain` of the datasets together; then the shipped heads on sets they never saw."""
    parts = [
        pl.read_parquet(data / f"{name}.parquet").select("text", "lang", "domain", "split")
        for name in _MIXED_SETS
    ]
    train = pl.concat([one.filter(pl.col("split") == "train").head(600) for one in parts])
    test = pl.concat([one.filter(pl.col("split") == "test").head(400) for one in parts])
    pairs = list(zip(train["text"], train["domain"], strict=True))
    compare("domain", encoder, pairs, [], test, "domain")
    router = load_router(RouterPlace()).router
    for name, domain in (("finance", "finance"), ("ja_hotel", "travel")):
        texts = pl.read_parquet(data / f"{name}.parquet").filter(pl.col("split") == "test")["text"].head(500)
        found = router.find(texts.to_list(), Wanted(task=False, complexity=False))
        hits = sum(one.domain == domain for one in found)
        tell(
            "domain, shipped heads",
            data=name,
            wanted=domain,
            share=round(share(hits, len(found)).rate or 0, 4),
        )
    _held_back_domains(encoder)
    _zero_shot_domains(test)


def _held_back_domains(encoder: TextEncoder) -> None:
    """The shipped rows' own list, each row predicted by a head that was not fitted to it."""
    texts, labels = zip(*shipped_rows("domain"), strict=True)
    fitted = fit_route_head(RouteRows(view_texts(texts, encoder.encode_all), labels))
    said = [fitted.head.labels[at] for at in fitted.held_back.argmax(axis=1)]
    sure = [float(one) for one in fitted.held_back.max(axis=1)]
    languages = [identify_language(text) for text in texts]
    for language in ("en", "zh", "ja", "de"):
        at = [number for number, one in enumerate(languages) if one == language]
        part = ([values[i] for i in at] for values in (said, labels, sure))
        tell("domain, shipped list, held back", language=language, **_summary(*part))


def _zero_shot_domains(test: pl.DataFrame) -> None:
    """Descriptions alone, for domains that no head knows."""
    described = (
        ("banking_support", "questions of a bank's customer, cards, transfers, accounts"),
        ("movie_review", "reviews of movies, actors, plots"),
        ("finance_news", "news of companies, profit, sales, shares, contracts"),
        ("hotel_review", "reviews of hotels, rooms, breakfast, staff"),
    )
    rows = test.filter(pl.col("domain").is_in([name for name, _ in described]))
    router = load_router(RouterPlace(domains=described)).router
    found = router.find(rows["text"].to_list(), Wanted(task=False, complexity=False))
    gold, languages = rows["domain"].to_list(), rows["lang"].to_list()
    for language in ("en", "ja"):
        at = [number for number, one in enumerate(languages) if one == language]
        said = [found[i].domain or "none" for i in at]
        tell(
            "domain, zero-shot", language=language, **_summary(said, [gold[i] for i in at], [None] * len(at))
        )


def languages(data: pathlib.Path) -> None:
    """Tweets in seven languages, with and without short ones; the other sets; time a text."""
    rows = pl.read_parquet(data / "xlmt.parquet").filter(
        (pl.col("split") == "test") & (pl.col("lang") != "hi")
    )
    for name, part in (
        ("all", rows),
        ("over 40 characters", rows.filter(pl.col("text").str.len_chars() > _LONG)),
    ):
        said = [identify_language(text) for text in part["text"]]
        hits = sum(one == lang for one, lang in zip(said, part["lang"], strict=True))
        found = share(hits, len(said))
        tell(
            "language, xlmt without romanised Hindi",
            rows=name,
            accuracy=found.rate,
            interval=[found.low, found.high],
        )
    for name in ("ja_hotel", "sst2", "trec", "finance", "banking77", "prompts_task"):
        part = pl.read_parquet(data / f"{name}.parquet").filter(pl.col("split") == "test")
        long = part.filter(pl.col("text").str.len_chars() > _LONG)
        for which, of in (("all", part), ("over 40 characters", long)):
            hits = sum(
                identify_language(text) == lang for text, lang in zip(of["text"], of["lang"], strict=True)
            )
            found = share(hits, len(of))
            tell(
                f"language, {name}",
                rows=which,
                records=len(of),
                accuracy=found.rate,
                interval=[found.low, found.high],
            )
    texts = rows["text"].to_list()
    started = time.perf_counter()
    for text in texts:
        identify_language(text)
    tell("language, time", milliseconds_a_text=1000 * (time.perf_counter() - started) / len(texts))


def speed(data: pathlib.Path) -> None:
    """Everything found, one text at a time and in batches of 64, on one thread; and what is cheap alone."""
    for name in ("sst2", "tweet_sentiment", "prompts_task"):
        texts = pl.read_parquet(data / f"{name}.parquet").filter(pl.col("split") == "test")["text"].to_list()
        texts = [texts[at] for at in np.random.default_rng(_SEED).permutation(len(texts))[:300]]
        started = time.perf_counter()
        for text in texts:
            surface_features(text)
            ngram_counts(text)
        cheap = 1000 * (time.perf_counter() - started) / len(texts)
        found = bench_router(texts, 3, lambda _: None)
        tell("speed", data=name, **found, surface_and_ngrams_ms=round(cheap, 3))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--only", nargs="*", default=["task", "domain", "language", "speed"])
    given = parser.parse_args()
    encoder = TextEncoder(asset_path(ENCODER))
    if "task" in given.only:
        tasks(given.data, encoder)
    if "domain" in given.only:
        domains(given.data, encoder)
    if "language" in given.only:
        languages(given.data)
    if "speed" in given.only:
        speed(given.data)


if __name__ == "__main__":
    main()
