"""Tables, diagnostics and the report.

Requires: <run>/corpus, <run>/models, <run>/evaluations, <run>/distilled.
Makes: <run>/tables/{results,speed,pruning}.{csv,md,tex}, <run>/tables/diagnostics.json,
    <run>/report.html, <run>/figures.
Steps: settings (rows) -> table, diagnose -> report.
"""


report: "../report/workflow.rst"


rule table:
    """Gather scores into one table."""
    input:
        unpack(table_inputs),
        config="<run>/tables/{table}.yaml",
        funnel="<run>/corpus/funnel.json",
    output:
        csv="<run>/tables/{table}.csv",
        markdown=report("<run>/tables/{table}.md", category="Tables", caption="../report/table.rst"),
        latex="<run>/tables/{table}.tex",
    log:
        "<logs>/table/{table}.log",
    wildcard_constraints:
        table="results|speed|pruning",
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    params:
        code=code("table"),
    shell:
        """
        seqkd table \
            --kind {wildcards.table:q} \
            --config {input.config:q} \
            --scores {input.scores:q} \
            --tests {input.tests:q} \
            --funnel {input.funnel:q} \
            --speeds {input.speeds:q} \
            --csv {output.csv:q} \
            --markdown {output.markdown:q} \
            --latex {output.latex:q} \
            2>{log:q}
        """


rule diagnose:
    """Measure what distillation did to the text and to the models."""
    input:
        **test_set_files(),
        **evaluations("results"),
        **diagnosis_inputs(),
        config="<run>/tables/results.yaml",
        train_src="<run>/corpus/train.<src>",
        train_tgt="<run>/corpus/train.<tgt>",
    output:
        "<run>/tables/diagnostics.json",
    log:
        "<logs>/diagnose/diagnose.log",
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        targets=[targets for targets, _, _ in distilled_texts()],
        teachers=[f"{teacher}/seed-{seeds}" for _, teacher, seeds in distilled_texts()],
        code=code("diagnose"),
    shell:
        """
        seqkd diagnose \
            --config {input.config:q} \
            --scores {input.scores:q} \
            --test {input.tests[0]:q} \
            --train-src {input.train_src:q} \
            --train-tgt {input.train_tgt:q} \
            --targets {params.targets:q} \
            --teachers {params.teachers:q} \
            --text-src {input.text_src:q} \
            --text-tgt {input.text_tgt:q} \
            --nbest {input.nbest:q} \
            --output {output:q} \
            2>{log:q}
        """


rule report:
    """Write one self-contained HTML file about the whole experiment."""
    input:
        **test_set_files(),
        **evaluations(*tables(CONFIG)),
        **{f"{table}_config": f"<run>/tables/{table}.yaml" for table in tables(CONFIG)},
        **monolingual_funnel(),
        corpus_config="<run>/corpus/config.yaml",
        speeds=speeds(*tables(CONFIG)),
        funnel="<run>/corpus/funnel.json",
        manifests=trained_models("manifest.json"),
        curves=trained_models("curve.jsonl"),
        diagnostics="<run>/tables/diagnostics.json",
    output:
        report=report(
            ensure("<run>/report.html", non_empty=True),
            category="Report",
            caption="../report/report.rst",
        ),
        figures=directory("<run>/figures"),
    log:
        "<logs>/report/report.log",
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    params:
        optional=lambda wildcards, input: options(
            input, *(f"{table}_config" for table in tables(CONFIG)), "monolingual_funnel"
        ),
        tables=tables(CONFIG),  # `optional` takes `input`, so it reruns nothing
        # Shown if there; not an input, because a deleted benchmark would train its model again.
        benchmarks=str(RESULTS / "benchmarks"),
        # A link, for which the report need not wait.
        page=["--page", "translate.html"] if EXPERIMENT.web_row else [],
        code=code("report"),
    shell:
        """
        seqkd report \
            {params.optional:q} \
            --corpus-config {input.corpus_config:q} \
            --scores {input.scores:q} \
            --tests {input.tests:q} \
            --funnel {input.funnel:q} \
            --speeds {input.speeds:q} \
            --manifests {input.manifests:q} \
            --diagnostics {input.diagnostics:q} \
            --benchmarks {params.benchmarks:q} \
            {params.page:q} \
            --output {output.report:q} \
            --figures {output.figures:q} \
            2>{log:q}
        """
