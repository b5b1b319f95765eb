# Films of what steps predict and where a method's maps lie: for `snakemake film`, from stores alone.


rule draw_film:
    input:
        previews=filmed("<previews>"),
        masks=filmed("<masks>"),
        maps=filmed("<maps>"),
    output:
        "<film>",
    log:
        "<logs>/draw_film/{model}/{dataset}/{sampling}/{method}.log",
    benchmark:
        "<benchmarks>/draw_film/{model}/{dataset}/{sampling}/{method}.jsonl"
    conda:
        "../../envs/analyse.yaml"
    resources:
        mem="4GB",
        runtime="1h",
    params:
        records=samples_filmed,
        code=code("figures.film", "figures.samples"),
    script:
        "../scripts/draw_film.py"


rule film:
    input:
        stores("<film>", PLAN.films()),
    localrule: True
