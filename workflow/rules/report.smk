"""Tables, diagnostics and the report.

Requires: <run>/evaluations, <run>/distilled.
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
        tests=expand("<run>/corpus/tests/{test_set}.json", test_set=CONFIG.corpus.test_sets),
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
        tests=lambda wildcards, input: str(Path(input.tests[0]).parent),
        code=code("table"),
    shell:
        """
        seqkd table \
            --kind {wildcards.table:q} \
            --config {input.config:q} \
            --scores {input.scores:q} {input.timings:q} \
            --tests {params.tests:q} \
            --csv {output.csv:q} \
            --markdown {output.markdown:q} \
            --latex {output.latex:q} \
            2>{log:q}
        """


rule diagnose:
    """Measure what distillation did to the text and to the models."""
    input:
        scores=evaluations("results", "json"),
        greedy=evaluations("results", "greedy.<tgt>"),
        searched=evaluations("results", "beam-<beam>.<tgt>"),
        config="<run>/tables/results.yaml",
        tests=expand("<run>/corpus/tests/{test_set}.json", test_set=CONFIG.corpus.test_sets),
        train_src="<run>/corpus/train.<src>",
        train_tgt="<run>/corpus/train.<tgt>",
        nbest=nbest_lists(),
        targets=distilled_texts(),
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
        tests=lambda wildcards, input: str(Path(input.tests[0]).parent),
        code=code("diagnose"),
    shell:
        """
        seqkd diagnose \
            --config {input.config:q} \
            --scores {input.scores:q} \
            --tests {params.tests:q} \
            --train-src {input.train_src:q} \
            --train-tgt {input.train_tgt:q} \
            --nbest {input.nbest:q} \
            --targets {input.targets:q} \
            --output {output:q} \
            2>{log:q}
        """


rule report:
    """Write one self-contained HTML file about the whole experiment."""
    input:
        tables=expand("<run>/tables/{table}.md", table=tables(CONFIG)),
        configs=expand("<run>/tables/{table}.yaml", table=tables(CONFIG)),
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
        configs=report_options,
        folder=subpath(output.report, parent=True),
        code=code("report"),
    shell:
        """
        seqkd report \
            {params.configs:q} \
            --results {params.folder:q} \
            --output {output.report:q} \
            --figures {output.figures:q} \
            2>{log:q}
        """
