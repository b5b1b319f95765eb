# Models from the hub: fetched once at their pinned revision, so that jobs need no network.


rule fetch_model:
    output:
        "<results>/models/{model}.json",
    log:
        "<logs>/fetch_model/{model}.log",
    conda:
        "../../envs/generate.yaml"
    localrule: True
    retries: 3
    params:
        model=lookup(dpath="models/{model}", within=config),
        code=code("fetching"),
    script:
        "../scripts/fetch_model.py"
