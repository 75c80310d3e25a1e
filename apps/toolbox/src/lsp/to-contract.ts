import type { LspCompletionList, LspSymbol } from '@atoll/protocol'
import type {
  CompletionItem,
  CompletionList,
  DocumentSymbol,
  Range,
  SymbolInformation,
  WorkspaceSymbol,
} from 'vscode-languageserver-protocol/node'

const NOWHERE: Range = { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } }
type FoundSymbol = DocumentSymbol | SymbolInformation | WorkspaceSymbol

/** Returns a server's answer to a completion request in the shape of §18. */
export function toCompletionList(answer: unknown): LspCompletionList {
  const list = answer as CompletionList | CompletionItem[] | null
  const items = Array.isArray(list) ? list : (list?.items ?? [])
  return { isIncomplete: Array.isArray(list) ? false : (list?.isIncomplete ?? false), items: items.map(toItem) }
}

function toItem(item: CompletionItem): LspCompletionList['items'][number] {
  const { label, kind, detail, documentation, sortText, filterText, insertText } = item
  return {
    label,
    ...(kind === undefined ? {} : { kind }),
    ...(detail === undefined ? {} : { detail }),
    ...(documentation === undefined ? {} : { documentation }),
    ...(sortText === undefined ? {} : { sortText }),
    ...(filterText === undefined ? {} : { filterText }),
    ...(insertText === undefined ? {} : { insertText }),
  }
}

/** Returns LSP's three shapes of symbols as one flat list; `uri` is that of the document they were asked for. */
export function toSymbols(answer: unknown, uri = ''): LspSymbol[] {
  const found = (answer ?? []) as FoundSymbol[]
  return found.flatMap((symbol) => {
    if ('location' in symbol) {
      const range = 'range' in symbol.location ? symbol.location.range : NOWHERE
      return [toSymbol(symbol, { uri: symbol.location.uri, range })]
    }
    return [toSymbol(symbol, { uri, range: symbol.range }), ...toSymbols(symbol.children, uri)]
  })
}

function toSymbol({ name, kind }: FoundSymbol, location: LspSymbol['location']): LspSymbol {
  return { name, kind, location }
}
