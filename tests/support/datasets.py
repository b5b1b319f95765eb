"""Small files in the formats that datasets are published in."""

import json

from PIL import Image

from stepscope.study.datasets import published

TEXTS = (
    "A man with a red\n helmet  on a moped. ",
    "Man riding a motor bike.",
    "A café, 2 cats 🐱!",
)
RELATION = (0, "relationships", 1)  # path of a relation in `relationships`


def picture(path):
    """Save a picture of 40 x 20 pixels and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), "red").save(path)


def saved(tmp_path, data, name="data.json"):
    """Path of a file with a text, or with data as JSON."""
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return str(path)


def karpathy():
    """Three images of two splits, with two captions each, as in dataset_coco.json."""
    return {
        "dataset": "coco",
        "images": [
            {
                "filepath": "val2014",
                "filename": f"COCO_val2014_{number:012}.jpg",
                "imgid": index,
                "cocoid": number,
                "split": split,
                "sentids": [10 * number, 10 * number + 1],
                "sentences": [
                    {"raw": TEXTS[index], "sentid": 10 * number, "imgid": index, "tokens": []},
                    {"raw": f"Picture {index}", "sentid": 10 * number + 1, "imgid": index},
                ],
            }
            for index, (number, split) in enumerate(
                [(391895, "test"), (7, "restval"), (42, "test")]
            )
        ],
    }


def official():
    """Two images with three captions, as in captions_val2017.json."""
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {"id": 397133, "file_name": "000000397133.jpg", "height": 427, "width": 640},
            {"id": 37777, "file_name": "000000037777.jpg", "height": 230, "width": 352},
        ],
        "annotations": [
            {"image_id": 397133, "id": 370509, "caption": "A man is in a kitchen."},
            {"image_id": 37777, "id": 372069, "caption": "The dining table."},
            {"image_id": 397133, "id": 370500, "caption": "A chef cooks."},
        ],
    }


def relationships():
    """Two images, with both spellings of a name, as in relationships.json."""
    shade = {"name": "shade", "h": 10, "w": 8, "y": 2, "x": 4, "object_id": 5045, "synsets": []}
    walk = {"names": ["sidewalk"], "h": 30, "w": 60, "y": -5, "x": 30, "object_id": 1058534}
    sign = {"names": ["Stop sign", "sign"], "h": 5, "w": 5, "y": 0, "x": 0, "object_id": 3}
    relation = {"predicate": "ON", "relationship_id": 15927, "synsets": ["along.r.01"]}
    again = {"predicate": "on", "relationship_id": 15926, "subject": shade | {"x": 20}}
    return [
        {
            "image_id": 1,
            "relationships": [
                relation | {"subject": shade, "object": walk},
                again | {"object": walk},
                {"predicate": "next to", "relationship_id": 9, "subject": sign, "object": walk},
                {"predicate": "", "relationship_id": 10, "subject": sign, "object": walk},
            ],
        },
        {"id": 2, "relationships": [{"id": 4, "predicate": "by", "subject": sign, "object": walk}]},
        {"image_id": 3, "relationships": []},
    ]


def by_id(entry):
    """Records of a dataset by their prompt_id."""
    return {record["prompt_id"]: record for record in published.read(entry)}


def change(data, path, value="absent"):
    """The data with what a path leads to set, or left out."""
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    if value == "absent":
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data
