/** From a source text to its statements, with limits and a cache by text. */
import type { Node, RawStmt } from 'libpg-query';
import { parseCacheEntries, parseCacheTextMax, statementCharactersMax } from '../limits.ts';
import type { ParsedStatement } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { parseAlterDatabase } from './alter-database.ts';
import { takeAsOfClauses } from './as-of-clause.ts';
import { parseWithGrammar } from './grammar.ts';
import { SourceText } from './position.ts';
import { parseSplitAt } from './split-at.ts';

/** What hangs behind `ParsedStatement.node`. */
export interface StatementNode {
  readonly tree: Node;
  /** The whole text that the tree's locations refer to. */
  readonly source: SourceText;
  /** The literal of AS OF SYSTEM TIME. */
  readonly asOf?: string;
}

export interface Statement extends ParsedStatement {
  readonly node: StatementNode;
}

/** Parses and remembers. One per engine. */
export class Parser {
  private readonly cache = new Map<string, readonly Statement[]>();

  /** Throws SqlError 42601, 54001, 22021. */
  parse(text: string): readonly Statement[] {
    const cached = this.cache.get(text);
    if (cached !== undefined) return cached;
    const statements = parseText(text);
    if (text.length <= parseCacheTextMax) {
      if (this.cache.size >= parseCacheEntries) this.evict();
      this.cache.set(text, statements);
    }
    return statements;
  }

  /** Drops the older half. Entries that are in use come back at the next parse. */
  private evict(): void {
    let surplus = this.cache.size / 2;
    for (const text of this.cache.keys()) {
      if (surplus-- <= 0) break;
      this.cache.delete(text);
    }
  }
}

/** What the grammar does not have is looked for only where it has refused the text. */
function parseRaw(text: string, source: SourceText): readonly RawStmt[] {
  try {
    return parseWithGrammar(text);
  } catch (error) {
    if (!(error instanceof SqlError) || error.code !== '42601') throw error;
    const split = parseSplitAt(source);
    if (split !== undefined) return [split];
    const altered = parseAlterDatabase(source);
    if (altered !== undefined) return altered;
    throw error;
  }
}

function parseText(text: string): readonly Statement[] {
  if (text.includes('\0'))
    throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  if (text.length > statementCharactersMax)
    throw new SqlError('54001', `statement is longer than ${statementCharactersMax} characters`);
  if (text === '') return [];
  const source = new SourceText(text);
  const statements: Statement[] = [];
  const { text: ours, clauses } = takeAsOfClauses(text);
  for (const raw of parseRaw(ours, source)) {
    if (raw.stmt === undefined) continue;
    const start = raw.stmt_location ?? 0;
    const end =
      raw.stmt_len === undefined || raw.stmt_len === 0 ? source.byteLength() : start + raw.stmt_len;
    const asOf = clauses.find(({ location }) => start <= location && location <= end)?.time;
    const node = { tree: raw.stmt, source, ...(asOf === undefined ? {} : { asOf }) };
    statements.push({ text: source.slice(start, end).trim(), node });
  }
  return statements;
}
