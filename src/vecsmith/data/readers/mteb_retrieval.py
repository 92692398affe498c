"""Retrieval sets as mteb publishes them: folders (or configurations of a card) of tables.

    corpus/      {_id | id, title?, text}
    queries/     {_id | id, text, instruction?}
    default/ or qrels/   {query-id, corpus-id, score}, a file per split
    instruction/ {query-id, instruction}, where there is one

Sets in several languages have them as `fr-corpus`, `fr-queries`, `fr-qrels`, or in a folder for each language; they
are read together, ids after "fr/" and with the attribute "language", or one of them with config="fr".
"""

import re
from collections.abc import Mapping
from pathlib import Path

from vecsmith.data.readers.beir import RetrievalFiles, is_beir
from vecsmith.data.readers.folders import Files, folder_configs
from vecsmith.errors import DataError

__all__ = ["mteb_sets"]

ROLES = {"corpus": ("corpus",), "queries": ("queries", "query"), "qrels": ("qrels", "default", "data")}
LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,8})*")
OTHERS = ("instruction", "instructions", "top_ranked")


def mteb_sets(folder: Path, configs: Mapping[str, Files], config: str | None = None) -> tuple[RetrievalFiles, ...]:
    """The retrieval sets of a folder, one per language; none where it is no such folder.

    configs   of the folder, from its card or its folders
    config    a language, where there are several
    raises    DataError: a language that is not there
    """
    sets: dict[str, Mapping[str, Files]] = {"": configs}
    if not _is_set(configs):
        sets = _languages(configs)
        for entry in sorted(folder.iterdir()) if not sets else ():
            is_named = LANGUAGE.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink()
            if is_named and not is_beir(entry) and _is_set(inner := folder_configs(entry)):
                sets[entry.name] = inner
    if config is not None and sets:
        if config not in sets:
            raise DataError(f'no configuration "{config}"; there are: {", ".join(filter(None, sets))}', file=folder)
        return (_files(sets[config], ""),)
    return tuple(_files(each, language) for language, each in sets.items() if _is_set(each))


def _is_set(configs: Mapping[str, Files]) -> bool:
    return all(any(name in configs for name in names) for names in ROLES.values())


def _languages(configs: Mapping[str, Files]) -> dict[str, Mapping[str, Files]]:
    """Language -> its configurations, from names like fr-corpus; `default` of one language may be fr."""
    found: dict[str, dict[str, Files]] = {}
    for name, files in configs.items():
        language, dash, role = name.rpartition("-")
        if dash and role in (*OTHERS, *(each for names in ROLES.values() for each in names)):
            found.setdefault(language, {})[role] = files
    for language, roles in found.items():
        if language in configs and "qrels" not in roles:
            roles["qrels"] = configs[language]
    return {language: roles for language, roles in found.items() if _is_set(roles)}


def _files(configs: Mapping[str, Files], language: str) -> RetrievalFiles:
    parts = {role: next(configs[name] for name in names if name in configs) for role, names in ROLES.items()}
    instructions = next((configs[name] for name in ("instruction", "instructions") if name in configs), {})
    judgements = {split or "test": files for split, files in parts["qrels"].items()}
    return RetrievalFiles(
        corpus=_all(parts["corpus"]),
        queries=_all(parts["queries"]),
        judgements=judgements,
        instructions=_all(instructions),
        prefix=f"{language}/" if language else "",
        attributes={"language": language} if language else {},
        passed_over=("top_ranked",) if "top_ranked" in configs else (),
    )


def _all(files: Files) -> tuple[Path, ...]:
    return tuple(path for paths in files.values() for path in paths)
