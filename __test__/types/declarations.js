'use strict'

// What the declarations of a package say, name by name.

const ts = require('typescript')

/** Reads files of declarations together: a compiler's checker, and what it tells of them. */
function declarations(...files) {
  const program = ts.createProgram(files, { strict: true, noEmit: true, skipLibCheck: true, types: ['node'] })
  const checker = program.getTypeChecker()

  /** The exports of a file: symbols by name. */
  function exportsOf(file) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file))
    const symbols = checker.getExportsOfModule(module)
    return new Map(symbols.map((symbol) => [symbol.name, resolved(symbol)]))
  }

  function resolved(symbol) {
    return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  }

  /** The members of a class or interface that others than the engine may use, by their names. */
  function members(symbol) {
    const all = {}
    for (const property of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
      const [declaration] = property.declarations
      const flags = ts.getCombinedModifierFlags(declaration)
      const isInherited = /@types/.test(declaration.getSourceFile().fileName)
      if (isInherited || flags & ts.ModifierFlags.Private) continue
      all[property.name] = {
        visibility: flags & ts.ModifierFlags.Protected ? 'protected' : 'public',
        optional: Boolean(property.flags & ts.SymbolFlags.Optional),
        readonly: Boolean(flags & ts.ModifierFlags.Readonly),
        // the codec of a transport is nobody's concern
        type: property.name === 'parser' ? 'any' : text(checker.getTypeOfSymbol(property)),
      }
    }
    return all
  }

  /** A type, whichever file the names in it are declared in. */
  function text(type) {
    const full = checker.typeToString(type, undefined, ts.TypeFormatFlags.NoTruncation)
    return full.replace(/import\("[^"]*"\)\./g, '').replaceAll('TransportState', 'ReadyState')
  }

  return { checker, exportsOf, members, text }
}

module.exports = { declarations }
