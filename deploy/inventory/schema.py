"""JSON Schemas of the inventory's files, so that an editor completes and underlines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.inventory.models import AddressesFile, CommuneFile, ProvinceFile, Written
from deploy.inventory.role import Catalog

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILES: dict[str, type[Written]] = {
    "addresses.json": AddressesFile,
    "commune.json": CommuneFile,
    "province.json": ProvinceFile,
}


def schemas(catalog: Catalog) -> dict[str, str]:
    """Text of each schema file by name, with the options of the catalog's roles inside."""
    return {name: _text(_schema(model, catalog)) for name, model in FILES.items()}


def write_schemas(folder: Path, catalog: Catalog) -> tuple[Path, ...]:
    """Write those that are stale into `folder` (`inventories/schema`); the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in schemas(catalog).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return tuple(written)


def _schema(model: type[Written], catalog: Catalog) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.setdefault("$defs", {})
    if model is not AddressesFile:
        for place in [schema, *definitions.values()]:
            options = place.get("properties", {}).get("options")
            if options is not None:
                place["properties"]["options"] = {"description": options["description"], "$ref": "#/$defs/Options"}
        definitions |= _options(catalog)
    _close(schema)
    return {"$schema": DRAFT, **schema}


def _close(value: Any) -> None:  # noqa: ANN401 - any part of a schema
    """Where names follow a pattern, a name that does not is a mistake that an editor can underline."""
    if isinstance(value, dict):
        if "patternProperties" in value:
            value["additionalProperties"] = False
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            _close(inner)


def _options(catalog: Catalog) -> dict[str, Any]:
    """Options by role. No option is required here: another level may give it."""
    definitions: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    for name, role in sorted(catalog.roles.items()):
        schema = role.options.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        definitions |= {f"{name}.{inner}": body for inner, body in schema.pop("$defs", {}).items()}
        schema.pop("required", None)
        definitions[f"options.{name}"] = {**schema, "title": f"Options of {name}", "description": role.summary}
        roles[name] = {"$ref": f"#/$defs/options.{name}"}
    definitions["Options"] = {"type": "object", "properties": roles, "additionalProperties": False}
    return definitions


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=False) + "\n"
