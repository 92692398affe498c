"""Is a model or an index what it says: contract, hashes, modules, vectors of the probes, stored files."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.cli.finding import Finding, fine, note, problem
from vecsmith.errors import ContractError, MissingExtra, SchemaError, UsageError, VecsmithError

if TYPE_CHECKING:
    from vecsmith.contract.contract import Contract
    from vecsmith.models.encoder import Encoder

__all__ = ["exported_findings", "folder_findings", "index_findings", "model_findings"]

COPY_AGAIN = "copy the folder again from where it came"


def folder_findings(path: Path, name: str | None = None) -> Iterator[Finding]:
    """The checks that fit a folder: of a model, an index, or an output of `vecsmith forge` that holds both.

    name     under which an installed package's model was asked for; None for a folder of the user's own
    raises   UsageError: no such folder, or neither of them
    """
    from vecsmith.models.onnx_files import is_onnx, is_openvino

    if not path.is_dir():
        raise UsageError(f"{path} is no folder; give a model or index folder, or nothing to check the environment")
    kinds: list[tuple[Path, Callable[[Path], Iterator[Finding]]]] = []
    for folder in (path, path / "model", path / "index"):
        if (folder / "catalog.sqlite").is_file():
            kinds.append((folder, index_findings))
        elif (folder / "modules.json").is_file() and folder.parent not in [done for done, _ in kinds]:
            kinds.append((folder, model_findings))
        elif is_onnx(folder) or is_openvino(folder):
            kinds.append((folder, exported_findings))
    if name is not None:
        yield from model_findings(path, name)
        return
    if not kinds:
        raise UsageError(
            f"{path} is neither a model (no modules.json) nor an index (no catalog.sqlite); "
            f"it holds: {', '.join(sorted(entry.name for entry in path.iterdir())[:8]) or 'nothing'}"
        )
    for folder, findings in kinds:
        for finding in findings(folder):
            shown = finding.subject if folder == path else f"{folder.name}: {finding.subject}"
            yield Finding(shown, finding.state, finding.words, finding.mend)


def model_findings(folder: Path, name: str | None = None) -> Iterator[Finding]:
    """A model folder, from what needs no code of it to what runs it; stops where the next check would be unsafe.

    name   of a model that travels as a package; such a folder cannot be given a contract, so a missing one is a note
    """
    from vecsmith.contract.folder import read_model_folder
    from vecsmith.models.load import check_folder

    try:
        model = read_model_folder(folder)
        check_folder(model)
    except VecsmithError as error:
        yield problem(
            "modules",
            str(error),
            "it was not opened; get the model again from a source you trust, or do as the message says",
        )
        return
    yield fine("modules", " -> ".join(entry.kind for entry in model.modules))
    contract, finding = _contract(folder, name)
    yield finding
    if contract is None:
        if finding.state == "note":
            yield from _probes(folder, None)
        return
    files = _files(folder, contract)
    yield files
    if files.state == "problem":
        return
    yield from _space(folder, contract)
    yield from _probes(folder, contract)


def exported_findings(folder: Path) -> Iterator[Finding]:
    """A folder that `vecsmith export` wrote for onnxruntime or OpenVINO."""
    contract, finding = _contract(folder, None)
    yield finding
    if contract is None:
        return
    files = _files(folder, contract)
    yield files
    if files.state == "problem":
        return
    yield from _probes(folder, contract)


def _files(folder: Path, contract: "Contract") -> Finding:
    changed = _changed_files(folder, contract)
    if changed:
        return problem("files", "; ".join(changed), COPY_AGAIN)
    return fine("files", f"{len(contract.record.get('files', {}))} files have the sizes and hashes of the contract")


def _contract(folder: Path, name: str | None) -> "tuple[Contract | None, Finding]":
    from vecsmith.contract.contract import FILE_NAME, Contract

    if not (folder / FILE_NAME).is_file():
        words = f"no {FILE_NAME}, so nothing says whether these files are the ones that vectors were made with"
        kind = problem if name is None else note
        return None, kind("contract", words, _saving(name or str(folder), f"{name or folder}-with-contract"))
    try:
        contract = Contract.read(folder)
    except VecsmithError as error:
        return None, problem("contract", str(error), COPY_AGAIN)
    return contract, fine("contract", f"space {contract.fingerprint}: {contract.describe()}")


def _saving(source: str, target: str) -> str:
    """The command that saves a model anew, which writes contract and probes."""
    code = f"import vecsmith as vs; vs.load({source!r}).save({target!r})"
    return f"python -c {shlex.quote(code)}" if re.search(r'["$`\\!]', code) else f'python -c "{code}"'


def _changed_files(folder: Path, contract: "Contract") -> list[str]:
    """Files of the contract that are missing or differ; hashed anew, whatever was verified before."""
    from vecsmith.contract.hashes import file_hash

    changed = []
    for name, entry in contract.record.get("files", {}).items():
        file = folder / name
        if not file.is_file():
            changed.append(f"{name} is missing")
        elif file.stat().st_size != entry["size"]:
            changed.append(f"{name} has {file.stat().st_size:,} bytes, not {entry['size']:,}")
        elif (found := file_hash(file)) != entry["sha256"]:
            changed.append(f"{name} has sha256 {found[:12]}, not {str(entry['sha256'])[:12]}")
    return changed


def _space(folder: Path, contract: "Contract") -> Iterator[Finding]:
    """Does the folder, read today, give the space that the contract states?"""
    from vecsmith.contract.describe import contract_of

    try:
        now = contract_of(folder)
    except VecsmithError as error:
        yield problem("space", str(error), COPY_AGAIN)
        return
    names = sorted({*now.space, *contract.space})
    differ = [name for name in names if now.space.get(name) != contract.space.get(name)]
    if differ:
        yield problem("space", f"the folder and its contract differ in: {', '.join(differ)}", COPY_AGAIN)


def _probes(folder: Path, contract: "Contract | None") -> Iterator[Finding]:
    """Does the model, run here, give the vectors that it gave where it was made? Without a contract: does it run?"""
    from vecsmith.contract import probes
    from vecsmith.models.encoder import open_encoder

    try:
        encoder = open_encoder(folder, on_truncation="cut")  # one probe is long on purpose
        if contract is None:
            yield fine("loads", f"{probes.probe_vectors(_by_role(encoder)).width} wide, all probe vectors finite")
            return
        if contract.probes is None:
            words = "it loads, but its contract holds no probe vectors to compare with"
            yield note("probes", words, _saving(str(folder), f"{folder}-with-probes"))
            return
        report = probes.check(_by_role(encoder), contract.probes, dtype=contract.view["dtype"])
        report.require(str(folder))
    except VecsmithError as error:
        yield problem("probes", str(error), _pip_line(error))
        return
    words = f"it loads; {len(contract.probes.names)} probe inputs give the contract's vectors"
    yield fine("probes", f"{words} (worst difference {report.worst:.1e}, allowed {report.tolerance:.0e})")


def _by_role(encoder: "Encoder") -> Callable[[Sequence[str], str | None], Any]:
    def encode(texts: Sequence[str], role: str | None) -> Any:
        if role == "query":
            return encoder.encode_query(texts)
        return encoder.encode_document(texts) if role == "document" else encoder.encode(texts)

    return encode


def _pip_line(error: VecsmithError) -> str:
    if isinstance(error, MissingExtra):
        return f'pip install "vecsmith[{error.extra}]"'
    return "pip install the versions that embedding.json records under record.versions, or re-embed"


def index_findings(folder: Path) -> Iterator[Finding]:
    """An index: catalog, every stored file, its contract against its model, what is worth doing."""
    from vecsmith.index.index import Index

    try:
        index = Index.open(folder)
        problems = index.verify()
        stats = index.stats()
    except VecsmithError as error:
        yield problem("catalog", str(error), f"restore {folder} from a backup, or build it again from its documents")
        return
    yield fine("catalog", f"generation {index.generation}, {len(index):,} documents, {_fields(index.schema.types)}")
    for found in problems:
        yield problem("files", str(found), f"restore {folder} from a backup, or build it again from its documents")
    if not problems:
        yield fine("files", "all stored files have the sizes and hashes of the catalog")
    yield from _model_of(index, folder)
    segments = stats.get("segments", 0)
    if isinstance(segments, int) and segments > 8:
        yield note("segments", f"{segments}; fewer are faster", f"vecsmith index compact {folder}")


def _fields(types: dict[str, str]) -> str:
    return "fields " + ", ".join(f"{name} {kind}" for name, kind in types.items()) if types else "no fields"


def _model_of(index: Any, folder: Path) -> Iterator[Finding]:
    """Is the model there, and the one that made the vectors?"""
    if index.settings.get("model") is None:
        yield fine("model", "none; it searches by words, or by vectors that you pass")
        return
    try:
        encoder = index.model
    except UsageError as error:
        yield note("model", str(error), "pass the model: vecsmith search --model MODEL")
    except (ContractError, SchemaError) as error:
        yield problem("model", str(error), f"put the model back, or name it: vecsmith search {folder} --model MODEL")
    else:
        yield fine("model", f"{encoder.name}, space {encoder.contract.fingerprint}, as the vectors")
