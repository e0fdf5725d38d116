"""A results folder of invented numbers and sentences, for the tests of tables, figures and report.

Translations are the references with words replaced at a rate that belongs to the model, so the
scores differ as the paper's do. The words are made up of syllables: no text of any corpus.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

import yaml
import zstandard

from seqkd import cli
from seqkd.config.bleu import BleuConfig
from seqkd.config.schema import load
from seqkd.config.table_rows import TableConfig, TableRow
from seqkd.corpus.funnel import Stage
from seqkd.corpus.test_sets import TestSetManifest
from seqkd.evaluation.metrics import translation_scores
from seqkd.evaluation.score_files import Evaluation
from seqkd.evaluation.speed_files import Speed, SpeedMeasurement, Throughput
from seqkd.files import write_json
from seqkd.machine.manifest import Hardware
from seqkd.training.manifest import TrainingManifest

TEACHER = "lstm-2x256.nll"
STUDENT = "lstm-2x64"
FROM = ".from-lstm-2x256"
# architecture: its label, and by method: the name of the model, shares of words that greedy and
# beam search get wrong, perplexity, p(t=y^)
MODELS = {
    "teacher": (
        "lstm-2x256",
        {
            "baseline": ("nll", 0.2, 0.17, 6.7, 0.03),
            "baseline+seq-inter": ("nll_seq-inter", 0.18, 0.172, 10.4, 0.12),
        },
    ),
    "student": (
        STUDENT,
        {
            "baseline": ("nll", 0.33, 0.29, 8.2, 0.02),
            "word-kd": ("word-kd", 0.31, 0.28, 8.0, 0.025),
            "seq-kd": ("seq-kd", 0.25, 0.245, 22.7, 0.19),
            "baseline+seq-inter": ("nll_seq-inter", 0.27, 0.255, 11.3, 0.08),
            "word-kd+seq-inter": ("word-kd_seq-inter", 0.265, 0.25, 11.8, 0.09),
            "seq-kd+seq-inter": ("seq-kd_seq-inter", 0.245, 0.235, 15.8, 0.12),
            "seq-kd+word-kd": ("seq-kd+word-kd", 0.24, 0.235, 10.9, 0.06),
            "seq-kd+word-kd+seq-inter": ("seq-kd+word-kd_seq-inter", 0.235, 0.23, 14.8, 0.1),
        },
    ),
}
HARDWARE = Hardware(cpu="A CPU of some make (AMX bf16)", cores=2, gpu=None)
PRUNED = {50: 0.236, 80: 0.245, 85: 0.26, 90: 0.29}


def rows(seeds: tuple[int, ...]) -> list[TableRow]:
    """Rows of the results table."""
    made = []
    for architecture, (label, methods) in MODELS.items():
        for method, (stages, *_) in methods.items():
            row = TableRow(
                architecture=architecture,
                label=label,
                method=method,
                model=f"{label}.{stages}",
                seeds=seeds,
            )
            if method != "baseline":
                taught = {"model": row.model + FROM, "baseline": f"{label}.nll", "teacher": TEACHER}
                row = row.model_copy(update={**taught, "teacher_seeds": seeds[:1]})
            made.append(row)
    return made


def pruned_rows(seeds: tuple[int, ...]) -> list[TableRow]:
    """The teacher, the best student, and that student pruned and in int8."""
    teacher, best = rows(seeds)[0], rows(seeds)[7]
    pruned = [
        best.model_copy(update={"model": f"{best.model}.pruned-{p}", "pruned": p}) for p in PRUNED
    ]
    int8 = best.model_copy(update={"model": f"{best.model}.int8", "format": "int8"})
    return [teacher, best, *pruned, int8]


def aim_at(table_config: Path, aim: str) -> None:
    """Write into a table's config that all other students are to beat the model `aim`."""
    data = yaml.safe_load(table_config.read_text(encoding="utf-8"))
    for row in data["rows"]:
        if row["architecture"] == "student" and row["model"] != aim:
            row["against"] = aim
    table_config.write_text(yaml.safe_dump(data), encoding="utf-8")


def seqkd(*words: object) -> None:
    """Run one verb in this process."""
    cli.main([str(word) for word in words])


class Synthetic:
    """Writes the folder; `root` is results/{experiment}."""

    def __init__(self, root: Path, sentences: int = 60, seeds: tuple[int, ...] = (1,)) -> None:
        self.root, self.seeds = root, seeds
        self.random = random.Random(7)
        syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
        self.words = ["".join(self.random.choices(syllables, k=2)) for _ in range(400)]
        self.train = [self._sentence() for _ in range(600)]
        references = [self._sentence() for _ in range(sentences)]
        self.references = references
        tests = root / "corpus" / "tests"
        self._lines(tests / "test.en", references)
        self._lines(tests / "test.de", [line[::-1] for line in references])
        near = list(range(0, sentences, 9))
        write_json(
            tests / "test.json",
            TestSetManifest(
                name="test",
                source="test.de",
                target="test.en",
                sentences=sentences,
                threshold=0.7,
                near_duplicates=near,
                exact=[],
            ),
        )
        self._text(root / "corpus" / "config.yaml", "limit: 20000\n")
        self._lines(root / "corpus" / "train.en", self.train)
        self._lines(root / "corpus" / "train.de", [line[::-1] for line in self.train])
        for row in {row.model: row for row in rows(seeds) + pruned_rows(seeds)}.values():
            for seed in seeds:
                self._evaluate(row, seed)
                self._model(row, seed)
                self._speed(row, seed)
        self._distilled()
        self._funnel()
        self._benchmarks()
        for name, chosen in (("results", rows(seeds)), ("pruning", pruned_rows(seeds))):
            self.config(name, chosen)
        self.config(
            "speed", [rows(seeds)[0], rows(seeds)[2], pruned_rows(seeds)[1], pruned_rows(seeds)[-1]]
        )

    def config(self, name: str, chosen: list[TableRow]) -> Path:
        """Write the rows of one table."""
        config = TableConfig(
            experiment="synthetic",
            source="de",
            target="en",
            test_sets=("test",),
            rows=tuple(chosen),
        )
        path = self.root / "tables" / f"{name}.yaml"
        self._text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        return path

    def scores(self, chosen: Sequence[TableRow] | None = None) -> list[Path]:
        """Scores files of some rows."""
        return [
            self.root / "evaluations" / row.model / f"seed-{seed}" / "test.json"
            for row in chosen or rows(self.seeds)
            for seed in row.seeds
        ]

    def table(self, kind: str, out: Path, scores: Sequence[Path] | None = None) -> dict[str, str]:
        """Run `seqkd table`; return the text of each form by its suffix."""
        config = self.root / "tables" / f"{kind}.yaml"
        scores = scores or self.scores(load(TableConfig, config).rows)
        seqkd(
            *("table", "--kind", kind, "--config", config, "--scores", *scores),
            *("--tests", self.root / "corpus/tests/test.json"),
            *("--funnel", self.root / "corpus/funnel.json"),
            *("--speeds", *(path.with_name("speed.json") for path in scores)),
            *("--resamples", 300, "--csv", out / "t.csv"),
            *("--markdown", out / "t.md", "--latex", out / "t.tex"),
        )
        return {form: (out / f"t.{form}").read_text() for form in ("csv", "md", "tex")}

    def diagnose(self, seq_kd_list: str = "beam-12") -> Path:
        """Run `seqkd diagnose` on the two distilled texts; return its output."""
        root, distilled = self.root, self.root / "distilled" / TEACHER / "seed-1"
        output = root / "tables" / "diagnostics.json"
        texts = [distilled / targets / "train" for targets in ("seq-kd", "seq-inter")]
        seqkd(
            *("diagnose", "--config", root / "tables/results.yaml", "--scores", *self.scores()),
            *("--test", root / "corpus/tests/test.json"),
            *("--train-src", root / "corpus/train.de", "--train-tgt", root / "corpus/train.en"),
            *("--targets", "seq-kd", "seq-inter", "--teachers", TEACHER, TEACHER),
            *("--text-src", *(f"{text}.de" for text in texts)),
            *("--text-tgt", *(f"{text}.en" for text in texts), "--nbest"),
            *(distilled / name / "nbest.jsonl.zst" for name in (seq_kd_list, "beam-12")),
            *("--output", output),
        )
        return output

    def report(self, *options: str, whole: bool = True) -> Path:
        """Run `seqkd report`, with all its inputs or with those alone that it needs."""
        root, output = self.root, self.root / "report.html"
        shown = {row.model: row for row in rows(self.seeds) + pruned_rows(self.seeds)}
        scores = [path for path in self.scores(list(shown.values())) if path.exists()]
        words: list[object] = [
            *("report", "--results-config", root / "tables/results.yaml"),
            *("--corpus-config", root / "corpus/config.yaml"),
            *("--scores", *scores, "--tests", root / "corpus/tests/test.json"),
            *("--funnel", root / "corpus/funnel.json", "--resamples", 300, "--output", output),
        ]
        if whole:
            words += [
                *("--speed-config", root / "tables/speed.yaml"),
                *("--pruning-config", root / "tables/pruning.yaml"),
                *("--speeds", *(path.with_name("speed.json") for path in scores)),
                *("--manifests", *sorted(root.glob("models/*/*/manifest.json"))),
                *("--benchmarks", root / "benchmarks"),
            ]
        if (root / "tables/diagnostics.json").exists():
            words += ["--diagnostics", root / "tables/diagnostics.json"]
        seqkd(*words, *options)
        return output

    def _sentence(self) -> str:
        length = self.random.randint(4, 22)
        # Zipf-like: few words often, many seldom.
        picks = [int(len(self.words) * self.random.random() ** 2.5) for _ in range(length)]
        return " ".join(self.words[place] for place in picks)

    def _rates(self, row: TableRow) -> tuple[float, float, float, float]:
        _, greedy, beam, perplexity, mode = MODELS[row.architecture][1][row.method]
        if row.pruned:
            greedy = beam = PRUNED[row.pruned]
        return greedy, beam, perplexity, mode

    def _noisy(self, line: str, rate: float) -> str:
        words = [
            self.random.choice(self.words) if self.random.random() < rate else word
            for word in line.split()
        ]
        return " ".join(words)

    def _evaluate(self, row: TableRow, seed: int) -> None:
        greedy, beam, perplexity, mode = self._rates(row)
        jitter = self.random.uniform(-0.008, 0.008)
        folder = self.root / "evaluations" / row.model / f"seed-{seed}"
        parameters = 4_612_000 if row.architecture == "teacher" else 431_000
        cut = 1 - row.pruned / 100
        searches = {}
        for search, rate in (("greedy", greedy), ("beam-5", beam)):
            output = [self._noisy(line, rate + jitter) for line in self.references]
            self._lines(folder / f"test.{search}.en", output)
            searches[search] = translation_scores(
                output, self.references, BleuConfig(), translations=f"test.{search}.en"
            )
        evaluation = Evaluation(
            model=row.model,
            seed=seed,
            test_set="test",
            sentences=len(self.references),
            parameters=parameters,
            nonzero_parameters=round(parameters * cut),
            file_bytes=parameters * (1 if row.format == "int8" else 4),
            compressed_bytes=round(parameters * 3.6 * min(1, 1.2 * cut)),
            storage="fp32",
            perplexity=perplexity + jitter * 20,
            mode_mean=mode,
            mode_median=mode / 2,
            searches=searches,
        )
        write_json(folder / "test.json", evaluation)

    def _model(self, row: TableRow, seed: int) -> None:
        folder = self.root / "models" / row.model / f"seed-{seed}"
        big = row.architecture == "teacher"
        curve = [
            {
                "epoch": n,
                "update": n * 312,
                "learning_rate": 0.004,
                "train_loss": 6 / n**0.5,
                "dev_perplexity": 6 + 60 / n**1.2 + self.random.random(),
                "dev_bleu": (34 if big else 28) * (1 - 0.7**n) + self.random.random() * seed / 3,
            }
            for n in range(1, 13)
        ]
        self._text(folder / "curve.jsonl", "".join(json.dumps(point) + "\n" for point in curve))
        stages = row.method.split("+")
        parent = None
        if row.pruned:
            parent = row.model.rpartition(".pruned")[0]
        elif "_" in row.model:
            stem = row.model.rpartition("_")[0]
            parent = stem if stem.endswith(".nll") else stem + FROM
        targets = stages[-1] if stages[-1].startswith("seq") else stages[0]
        digest = hashlib.sha256(row.model.encode()).hexdigest()
        manifest = TrainingManifest(
            model=row.model,
            seed=seed,
            parent=parent,
            teacher=row.teacher,
            targets=targets if targets.startswith("seq") else "gold",
            kd_weight=0.5 if "word-kd" in stages and not parent else 0.0,
            pruned=row.pruned,
            parameters=0,
            nonzero_parameters=0,
            pairs=20_000,
            pairs_too_long_or_empty=0,
            updates=3744,
            best_update=3744,
            stopped_early=False,
            resumed_from_update=0,
            precision="bfloat16",
            pointwise="compiled",
            processes=1,
            hardware=HARDWARE,
            curve="curve.jsonl",
            work="",
            output="",
            inputs={"train_src": digest, "train_tgt": digest},
            seconds=420.0 if big else 118.0,
            cpu_seconds=411.0 if big else 115.2,
            peak_memory_mb=812.5,
            finished="2026-11-24T07:40:00Z",
            versions={"seqkd": "0.1.0", "torch": "2.13.0", "sacrebleu": "2.6.0"},
            commit="abc1234",
        )
        write_json(folder / "manifest.json", manifest)

    def _speed(self, row: TableRow, seed: int) -> None:
        base = 900.0 if row.architecture == "teacher" else 6200.0
        base *= 1.8 if row.format == "int8" else 1.0
        measurements = [
            SpeedMeasurement(
                device="cpu",
                threads=threads,
                beam=beam,
                batch=batch,
                precision="float32",
                sentences=100,
                words=1100,
                repeats=5,
                words_per_second=Throughput(
                    median=base * gain / (4.3 if beam > 1 else 1) * (6 if batch > 1 else 1),
                    low=base * gain * 0.9,
                    high=base * gain * 1.1,
                ),
                sentences_per_second=Throughput(
                    median=base * gain / 11, low=base * gain / 12, high=base * gain / 10
                ),
            )
            for beam in (1, 5)
            for batch in (1, 2000)
            for threads, gain in ((1, 1.0), (2, 1.5))
        ]
        speed = Speed(
            model=row.model,
            seed=seed,
            storage="fp32",
            test_set="test",
            hardware=HARDWARE,
            versions={},
            finished="2026-11-24T07:40:00Z",
            measurements=measurements,
        )
        path = self.root / "evaluations" / row.model / f"seed-{seed}" / "speed.json"
        write_json(path, speed)

    def _distilled(self) -> None:
        folder = self.root / "distilled" / TEACHER / "seed-1"
        records, best, inter = [], [], []
        for number, line in enumerate(self.train):
            nbest = [self._noisy(line, 0.1 + 0.02 * k) for k in range(12)]
            scored = [[-1.0 - 0.3 * k, text, [5, 6]] for k, text in enumerate(nbest)]
            records.append(json.dumps({"id": number, "nbest": scored}))
            best.append(nbest[0])
            inter.append(self.random.choice(nbest[:3]))
        path = folder / "beam-12" / "nbest.jsonl.zst"
        path.parent.mkdir(parents=True)
        path.write_bytes(zstandard.compress(("\n".join(records) + "\n").encode()))
        for name, lines in (("seq-kd", best), ("seq-inter", inter)):
            self._lines(folder / name / "train.en", lines)
            self._lines(folder / name / "train.de", [line[::-1] for line in self.train])

    def _funnel(self) -> None:
        steps = [
            ("read: invented words", 41200, 41200),
            ("length", 41200, 39100),
            ("ratio", 39100, 38020),
            ("duplicates", 38020, 29400),
            ("near duplicate of test", 29400, 27950),
            ("limit", 27950, 20000),
        ]
        stages = [
            Stage(name, lines_in, lines_out, 0, [("gelo <b>", "kabi & ra")])
            for name, lines_in, lines_out in steps
        ]
        write_json(self.root / "corpus" / "funnel.json", stages)

    def _benchmarks(self) -> None:
        for rule, name, seconds in (
            ("train", "teacher", 431.0),
            ("train", "student", 122.0),
            ("decode", "0", 65.0),
            ("evaluate", "a", 14.0),
        ):
            path = self.root / "benchmarks" / rule / f"{name}.jsonl"
            measured = {"s": seconds, "max_rss": 812.4, "cpu_time": 0.97 * seconds}
            self._text(path, json.dumps(measured) + "\n")
        measured = {"s": 3.5, "max_rss": "NA", "cpu_time": "NA"}
        self._text(self.root / "benchmarks" / "vocab" / "vocab.jsonl", json.dumps(measured) + "\n")

    def _lines(self, path: Path, lines: list[str]) -> None:
        self._text(path, "".join(line + "\n" for line in lines))

    def _text(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
