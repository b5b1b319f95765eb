# Models from the hub: fetched once at their pinned revision, so that jobs need no network.


rule fetch_model:
    output:
        "<results>/models/{model}.json",
    log:
        "<logs>/fetch_model/{model}.log",
    retries: 3
    localrule: True
    conda:
        "../../envs/generate.yaml"
    params:
        model=lookup(dpath="models/{model}", within=config),
        code=code("fetching"),
    script:
        "../scripts/fetch_model.py"
