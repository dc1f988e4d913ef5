"""Checks built manifests: `manifests.py REPOSITORY KEDA'S_SCHEMAS STRIMZI'S_SCHEMAS FILE…`. See ../check."""

import json
import re
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

# The oldest that knows every field used, and the newest whose schemas there are.
KUBERNETES = ("1.27", kubernetes_validate.latest_version())


def strict(schema):
    """A schema of a custom resource under which what it does not name is an error, as `kubectl` has it."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: value for key, value in schema.items() if key not in ("properties", "items", "additionalProperties")}
    if "items" in schema:
        made["items"] = strict(schema["items"])
    if "properties" in schema:
        made["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        made.pop("additionalProperties", None)
    elif "additionalProperties" in schema:
        made["additionalProperties"] = strict(schema["additionalProperties"])
    return made


def custom_resources(*folders):
    """Schema by (apiVersion, kind)."""
    found = {}
    for file in (file for folder in folders for file in folder.glob("*.yaml")):
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def scaler_parameters(folder, kind):
    """What a trigger of KEDA takes, which its resource leaves open."""
    scalers = json.loads((folder / "scalers-schema.json").read_text())["scalers"]
    (scaler,) = (scaler for scaler in scalers if scaler["type"] == kind)
    names = {one["name"] for one in scaler["parameters"] if one.get("metadataVariableReadable")}
    return names | {one["name"] + "FromEnv" for one in scaler["parameters"] if one.get("envVariableReadable")}


def variables(repository):
    """Every variable that the programs read."""
    sources = [file for crate in ("kafka", "producer", "consumer") for file in (repository / crate / "src").rglob("*.rs")]
    return {name for file in sources for name in re.findall(r'\benv = "([A-Z_]+)"', file.read_text())}


def containers(thing):
    return thing.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])


def complaints(thing, known, schemas, keda):
    """What is wrong with one resource."""
    custom = schemas.get((thing["apiVersion"], thing["kind"]))
    if custom:
        for error in jsonschema.Draft202012Validator(custom).iter_errors(thing):
            yield f"{error.json_path}: {error.message}"
        for trigger in thing.get("spec", {}).get("triggers", []):
            for name in trigger["metadata"].keys() - scaler_parameters(keda, trigger["type"]):
                yield f"the trigger '{trigger['type']}' takes no '{name}'"
    else:
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"Kubernetes {version}: {error.json_path}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield error.message
    names = {one["name"] for container in containers(thing) for one in container.get("env", [])}
    if thing["kind"] == "ConfigMap":
        names |= thing["data"].keys()
    for name in names - known:
        yield f"no program reads the variable {name}"


def main():
    repository, keda, strimzi, *files = map(Path, sys.argv[1:])
    known, schemas = variables(repository), custom_resources(keda, strimzi)
    wrong = 0
    for file in files:
        things = [thing for thing in yaml.safe_load_all(file.read_text()) if thing]
        for thing in things:
            for complaint in complaints(thing, known, schemas, keda):
                print(f"kubernetes: {file.stem}: {thing['kind']} {thing['metadata']['name']}: {complaint}", file=sys.stderr)
                wrong += 1
        print(f"kubernetes: {file.stem}: {len(things)} resources checked")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
