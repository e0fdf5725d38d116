"""The part of the config that one step depends on, as a small file of its own.

Requires: the config.
Makes: <run>/{part}.yaml, an input of that step: a change elsewhere in the config leaves it alone.
Steps: settings.
"""

if workflow.is_main_process:
    # A workflow that imports this one may make them, by rules before its `module`.
    named = OWN_FILES.union(CORPUS_FILES, MONOLINGUAL_FILES, *TEST_SET_FILES.values())
    given = {
        path
        for path in named.difference(RESOURCES / name for name in FETCHED)
        if not any(rule.is_producer(str(path)) for rule in workflow.rules)
    }
    texts = {f"corpus/tests/{name}": files for name, files in TEST_SET_FILES.items()}
    texts |= {"corpus/config": CORPUS_FILES, "corpus/monolingual": MONOLINGUAL_FILES}
    try:
        for word in map(Path, sys.argv[1:]):  # Snakemake has not looked at its targets yet
            if RESULTS in word.parents and "--cleanup-metadata" not in sys.argv:
                check_target(EXPERIMENT, word.relative_to(RESULTS).as_posix())
        for part, files in texts.items():
            own = given.intersection(files)
            if own and is_outdated(RESULTS / f"{part}.yaml", as_yaml(slice_of(EXPERIMENT, part))):
                refuse_missing(own)
        for name in teachers_of_kind(FileTeacher):
            if any(RESULTS.glob(f"models/*.from-{name}*")):
                refuse_missing(given.intersection(GIVEN_FILES[name]))
    except SeqkdError as error:
        raise WorkflowError(str(error)) from None


rule settings:
    """Write one part of the config."""
    output:
        "<run>/{part}.yaml",
    log:
        "<logs>/settings/{part}.log",
    wildcard_constraints:
        part=parts(EXPERIMENT),
    priority: CORPUS_FIRST
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    params:
        text=lambda wildcards: as_yaml(slice_of(EXPERIMENT, wildcards.part)),
    shell:
        "printf '%s\n' {params.text:q} > {output:q} 2> {log:q}"
