"""croissant.json: the set described in MLCommons Croissant 1.0, every shard with its SHA-256.

Croissant readers can decode Parquet, so its files have record sets that say where each column is found; Arrow streams
and tar files are listed as files.
"""

import json
from typing import Any

import pyarrow as pa

from lra_data.store.formats.shard_format import get_format
from lra_data.store.manifest import Manifest
from lra_data.store.shard_entry import Shard
from lra_data.task import Task

# The context that Croissant 1.0 prescribes, https://docs.mlcommons.org/croissant/docs/croissant-spec.html.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant_text(task: Task, manifest: Manifest) -> str:
    """The JSON-LD document of a finished set."""
    description = manifest.description
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"lra-{description.task}-{description.variant}",
        "description": task.card.description,
        "version": f"{description.version}.0.0",
        "license": task.card.license_page or f"https://spdx.org/licenses/{task.card.license}.html",
        "url": "https://pypi.org/project/lra-data/",
        "creator": {"@type": "sc:Organization", "name": "lra-data"},
        "citeAs": task.card.citation,
        "datePublished": task.card.published,
        "distribution": [_file_object(shard) for shard in manifest.shards],
        "recordSet": [
            _record_set(task, shard) for shard in manifest.shards if get_format(shard.format).croissant_columns
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _file_object(shard: Shard) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.file,
        "name": shard.file,
        "description": f"rows {shard.start} to {shard.stop - 1} of {shard.split}",
        "contentUrl": shard.file,
        "contentSize": f"{shard.bytes} B",
        "encodingFormat": get_format(shard.format).media_type,
        "sha256": shard.sha256,
    }


def _record_set(task: Task, shard: Shard) -> dict[str, Any]:
    """One record set a file: mlcroissant, the reference reader, cannot join local files into one."""
    name = shard.file.rpartition(".")[0]
    fields = []
    for column in task.schema:
        is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}",
                "name": column.name,
                "description": task.card.columns[column.name],
                "dataType": "sc:Text" if pa.types.is_string(column.type) else "sc:Integer",
                **({"repeated": True} if is_list else {}),
                "source": {"fileObject": {"@id": shard.file}, "extract": {"column": column.name}},
            }
        )
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Rows {shard.start} to {shard.stop - 1} of {shard.split}, one example a record.",
        "field": fields,
    }
