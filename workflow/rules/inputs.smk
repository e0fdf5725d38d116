"""Input functions: which files a job needs, as the experiment says.

There are no rules here; common.smk comes first.
"""


def held_out_texts():
    """Return the text held out of training for a test set, if one asks for it."""
    return [f"<run>/corpus/held-out.<{side}>" for side in SIDES if CONFIG.corpus.held_out_test]


def test_set_inputs(wildcards):
    """Return what a test set is made from: its own files, or the text held out of training."""
    name = wildcards.test_set
    if name == CONFIG.corpus.held_out_test:
        return {f"held_out_{side}": f"<run>/corpus/held-out.<{side}>" for side in SIDES}
    return {"files": users(TEST_SET_FILES[name])}


def split_of(wildcards):
    """Return the text that an n-best list translates, without its language."""
    search, part = naming.split_part(wildcards.nbest)
    if part:
        return f"<run>/corpus/{part}"
    share = search.partition("-share-")[2]
    return f"<run>/corpus/{naming.share_name('train', int(share or 100) / 100)}"


def text_of(targets, teacher, seed):
    """Return the parallel text that a model learns from, without its language."""
    if targets == naming.GOLD:
        return "<run>/corpus/train"
    return f"<run>/distilled/{teacher}/seed-{seed}/{targets}/train"


def source_of(entry):
    """Return what identifies a model's text: its targets, its teacher and the teacher's seeds."""
    return entry.targets, entry.teacher, naming.seeds_label(entry.teacher_seeds)


def models_of(teacher, seeds):
    """Return the model files of a teacher, several for an ensemble."""
    return [f"<run>/models/{teacher}/seed-{seed}/model.safetensors" for seed in seeds]


def teachers_of(wildcards):
    """Return the model files of the teacher that a distilled text is named after."""
    return models_of(wildcards.teacher, wildcards.seed.split("+"))


def soft_target_inputs(wildcards):
    """Return the text along which a teacher's distributions are stored."""
    text = text_of(wildcards.targets, wildcards.teacher, wildcards.seed)
    return {"train_src": f"{text}.<src>", "train_tgt": f"{text}.<tgt>"}


def nbest_of(targets, teacher, seed):
    """Return the n-best list that targets are chosen from, or the first along monolingual text."""
    if not CONFIG.targets[targets].is_parallel:
        return monolingual_lists(targets, teacher, seed)[0]
    folder = CONFIG.targets[targets].list_name
    return f"<run>/distilled/{teacher}/seed-{seed}/{folder}/nbest.jsonl.zst"


def monolingual_lists(targets, teacher, seed):
    """Return the n-best lists of the parts of monolingual text that targets are chosen from."""
    search = CONFIG.targets[targets].of_monolingual.list_name
    folder = f"<run>/distilled/{teacher}/seed-{seed}/{search}"
    return [f"{folder}-{part}/nbest.jsonl.zst" for part in monolingual_parts(targets)]


def monolingual_parts(targets):
    """Return the names of the parts of monolingual text that have enough sentences for targets."""
    parts = -(-CONFIG.targets[targets].monolingual.sentences // CONFIG.decoding.monolingual_part)
    return [naming.part_name(number + 1) for number in range(parts)]


def monolingual_sentences():
    """Return how much monolingual text there must be: what the most demanding targets ask for."""
    learned = {entry.targets for entry in EXPERIMENT.models.values()} - {naming.GOLD}
    asked = (CONFIG.targets[targets].monolingual for targets in learned)
    return max((text.sentences for text in asked if text), default=0)


def monolingual_funnel():
    """Return the funnel of the monolingual text, if a model learns from it."""
    path = "<run>/corpus/monolingual-funnel.json"
    return {"monolingual_funnel": path} if MONOLINGUAL_SENTENCES else {}


MONOLINGUAL_SENTENCES = monolingual_sentences()


def given_teacher(wildcards):
    """Return what a list depends on if its teacher was not trained here: the model, the decoder."""
    if wildcards.teacher not in GIVEN_FILES:
        return []
    return [
        nbest_code("decode_hugging_face")(wildcards),
        *CONFIG.teachers[wildcards.teacher].options,
        *contents(GIVEN_FILES[wildcards.teacher]),
    ]


def list_config(wildcards):
    """Return the config of an n-best list: of the first targets chosen from it, as all agree."""
    search, part = naming.split_part(wildcards.nbest)
    configs = CONFIG.targets.values()
    if part:
        configs = (config.of_monolingual for config in configs if config.monolingual)
    return next(config for config in configs if config.list_name == search)


def adopted_inputs(wildcards):
    """Return a file of translations and the text that it translates."""
    translations, *translated = users(GIVEN_FILES[wildcards.teacher])
    return {
        "translations": translations,
        "translated": translated or "<run>/corpus/train.<src>",
        "src": f"{split_of(wildcards)}.<src>",
    }


def selection_inputs(wildcards):
    """Return the n-best lists of some targets and the text that they translate."""
    config = CONFIG.targets[wildcards.targets]
    key = wildcards.targets, wildcards.teacher, wildcards.seed
    files = {}
    if config.is_parallel:
        text = f"<run>/corpus/{naming.share_name('train', config.share)}"
        files = {"nbest": nbest_of(*key), "src": f"{text}.<src>", "reference": f"{text}.<tgt>"}
    if config.monolingual:
        parts = monolingual_parts(wildcards.targets)
        files["monolingual_nbest"] = monolingual_lists(*key)
        files["monolingual_src"] = [f"<run>/corpus/{part}.<src>" for part in parts]
    return files


def bleu_of_similarity(wildcards):
    """Return how BLEU is computed where it chooses targets; other similarities have no part in it."""
    is_bleu = CONFIG.targets[wildcards.targets].similarity == "bleu"
    return ["--bleu", CONFIG.bleu.signature] if is_bleu else []


def training_inputs(wildcards):
    """Return a model's text, the weights it starts from, and what it gets from its teacher."""
    entry = EXPERIMENT.models[wildcards.trained, int(wildcards.seed)]
    text = text_of(*source_of(entry))
    teacher = f"{entry.teacher}/seed-{naming.seeds_label(entry.teacher_seeds)}"
    files = {"train_src": f"{text}.<src>", "train_tgt": f"{text}.<tgt>"}
    if entry.parent:
        files["init"] = f"<run>/models/{entry.parent}/seed-{entry.seed}/model.safetensors"
    if entry.wants_lexicon:
        files["lexicon"] = "<run>/alignment/lexicon.safetensors"
    if entry.wants_teacher:
        files["teacher"] = models_of(entry.teacher, entry.teacher_seeds)
    if entry.wants_top_k:
        top_k = f"<run>/distilled/{teacher}/{entry.targets}/top-k"
        files["soft_targets"] = [f"{top_k}.npy", f"{top_k}.json"]
    return files


def training_priority(wildcards):
    """Return how many models wait for this one, so that the longest chain starts first."""
    return EXPERIMENT.dependants[wildcards.trained, int(wildcards.seed)]


def test_sets(ending):
    """Return one file of each test set."""
    return expand(f"<run>/corpus/tests/{{test_set}}.{ending}", test_set=CONFIG.corpus.test_sets)


def test_set_files():
    """Return the manifests of all test sets, and the text that they name."""
    return {"tests": test_sets("json"), "test_texts": [*test_sets("<src>"), *test_sets("<tgt>")]}


def evaluations(*names):
    """Return the scores of all rows of tables, and the translations that they name."""
    rows = [row for name in names for row in table_of(EXPERIMENT, name).rows]
    models = dict.fromkeys(f"{row.model}/seed-{seed}" for row in rows for seed in row.seeds)

    def files(ending):
        return expand(
            f"<run>/evaluations/{{model}}/{{test_set}}.{ending}",
            model=models,
            test_set=CONFIG.corpus.test_sets,
        )

    translations = [*files("greedy.<tgt>"), *files("beam-<beam>.<tgt>")]
    return {"scores": files("json"), "translations": translations}


def speeds(*names):
    """Return the speed files that tables show, of the first seed of each model."""
    rows = table_of(EXPERIMENT, "speed").rows if "speed" in names else []
    return [f"<run>/evaluations/{row.model}/seed-{row.seeds[0]}/speed.json" for row in rows]


def table_inputs(wildcards):
    """Return what one table is made from."""
    files = {**test_set_files(), **evaluations(wildcards.table)}
    return {**files, "speeds": speeds(wildcards.table)}


def web_page():
    """Return the page that translates, if the config asks for one."""
    return ["<run>/translate.html"] if EXPERIMENT.web_row else []


def web_page_inputs(wildcards):
    """Return the model of the page, its scores, those of its teacher, and what it lost."""
    row = EXPERIMENT.web_row
    teacher = table_of(EXPERIMENT, "results").teacher_of(row) if row.teacher else None
    return {
        "model": models_of(row.model, row.seeds),
        "scores": scores_of(row.model, row.seeds[0]),
        "teacher_scores": scores_of(*teacher) if teacher else [],
        "diagnostics": "<run>/tables/diagnostics.json",
    }


def scores_of(model, seed):
    """Return the scores of a model on every test set."""
    folder = f"<run>/evaluations/{model}/seed-{seed}"
    return expand(f"{folder}/{{test_set}}.json", test_set=CONFIG.corpus.test_sets)


def distilled_texts():
    """Return the texts that models learn from, by targets, teacher and the teacher's seeds."""
    learned = (entry for entry in EXPERIMENT.models.values() if entry.targets != naming.GOLD)
    return list(dict.fromkeys(map(source_of, learned)))


def diagnosis_inputs():
    """Return the distilled texts, and of each the n-best list that it was chosen from."""
    texts = [text_of(*key) for key in distilled_texts()]
    return {
        "text_src": [f"{text}.<src>" for text in texts],
        "text_tgt": [f"{text}.<tgt>" for text in texts],
        "nbest": [nbest_of(*key) for key in distilled_texts()],
    }


def trained_models(name):
    """Return one file of each trained model, all stages and seeds."""
    return [f"<run>/models/{model}/seed-{seed}/{name}" for model, seed in EXPERIMENT.models]


def finished_models():
    """Return every model of a row with its scores, so that a deleted one is made again."""
    finished = [f"{row.model}/seed-{n}" for row in EXPERIMENT.all_rows for n in row.seeds]
    models = [f"<run>/models/{model}/model.safetensors" for model in finished]
    scores = expand(
        "<run>/evaluations/{model}/{test_set}.json",
        model=finished,
        test_set=CONFIG.corpus.test_sets,
    )
    return [*models, *scores]
