"""Prints as JSON what a system's loader reads of a library: its format, machine, exported functions, needed libraries
and the oldest system that it names. The reader is LIEF. Usage: python3 inspect.py FILE"""

import json
import sys

import lief


def elf(binary):
    versions = {
        str(requirement.name)
        for needed in binary.symbols_version_requirement
        for requirement in needed.get_auxiliary_symbols()
        if requirement.name.startswith("GLIBC_")
    }
    as_numbers = sorted(tuple(int(n) for n in name[len("GLIBC_"):].split(".")) for name in versions)
    return {
        "format": "ELF",
        "machine": binary.header.machine_type.name,
        "needs": [str(name) for name in binary.libraries],
        "oldest": "glibc " + ".".join(map(str, as_numbers[-1])) if as_numbers else None,
    }


def macho(binary):
    build = binary.build_version if binary.has_build_version else binary.version_min
    version = build.minos if binary.has_build_version else build.version
    return {
        "format": "Mach-O",
        "machine": binary.header.cpu_type.name,
        "type": binary.header.file_type.name,
        "needs": [library.name for library in binary.libraries if library.command.name != "ID_DYLIB"],
        "oldest": "macOS " + ".".join(map(str, version[:2])),
        "signed": binary.has_code_signature,
        "commands": [command.command.name for command in binary.commands],
    }


def pe(binary):
    header = binary.optional_header
    return {
        "format": "PE",
        "machine": binary.header.machine.name,
        "needs": [entry.name for entry in binary.imports],
        "oldest": f"Windows {header.major_operating_system_version}.{header.minor_operating_system_version}",
    }


def main(file):
    binary = lief.parse(file)
    if isinstance(binary, lief.MachO.Binary):
        facts = macho(binary)
    elif isinstance(binary, lief.PE.Binary):
        facts = pe(binary)
    else:
        facts = elf(binary)
    facts["exports"] = [function.name for function in binary.exported_functions]
    print(json.dumps(facts))


main(sys.argv[1])
