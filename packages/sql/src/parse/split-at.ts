/**
 * `ALTER TABLE t SPLIT AT VALUES (…), (…)` and `ALTER INDEX i SPLIT AT VALUES …`: statements that PostgreSQL's grammar does not
 * have. Looked for only where the grammar has refused a text, so that nothing else pays for them; recognised by its tokens,
 * and turned into the query over flotilla.split_table or split_index that it stands for. Places in the values stay what
 * they are in the text.
 */
import type { Node, RawStmt } from 'libpg-query';
import { SqlError } from '../sql-error.ts';
import { parseWithGrammar, scanTokens, type Token } from './grammar.ts';
import type { SourceText } from './position.ts';

interface Found {
  readonly call: 'split_table' | 'split_index';
  /** As it is written, with its schema. */
  readonly name: string;
  /** Byte offset behind AT. */
  readonly valuesFrom: number;
}

/**
 * @returns undefined: the text is no such statement
 * Throws SqlError 42601 where it begins like one and goes on otherwise.
 */
export function parseSplitAt(source: SourceText): RawStmt | undefined {
  if (!/\bsplit\s+at\b/i.test(source.text)) return undefined;
  const found = findSplitAt(source);
  if (found === undefined) return undefined;
  const rest = source.slice(found.valuesFrom, source.byteLength());
  const [values, second] = parseWithGrammar(' '.repeat(found.valuesFrom) + rest);
  const columns = columnCount(values?.stmt);
  if (columns === undefined || second !== undefined) {
    const position = source.position(found.valuesFrom);
    throw new SqlError('42601', 'SPLIT AT takes VALUES (…), (…) and stands alone', {
      ...(position === undefined ? {} : { position }),
    });
  }
  const names = Array.from({ length: columns }, (_, i) => `k${i}`).join(', ');
  const [query] = parseWithGrammar(
    `SELECT flotilla.${found.call}('${found.name.replaceAll("'", "''")}', ${names}) AS range_id` +
      ` FROM (VALUES (0)) AS v(${names})`,
  );
  const select = selectOf(query?.stmt);
  const [from] = select?.fromClause ?? [];
  if (from === undefined || !('RangeSubselect' in from) || values?.stmt === undefined)
    throw new RangeError('the query has a subquery');
  from.RangeSubselect.subquery = values.stmt;
  return { ...query };
}

function selectOf(node: Node | undefined) {
  return node !== undefined && 'SelectStmt' in node ? node.SelectStmt : undefined;
}

/** Of the first row; undefined: these are no plain VALUES. */
function columnCount(node: Node | undefined): number | undefined {
  const select = selectOf(node);
  const [row] = select?.valuesLists ?? [];
  if (row === undefined || !('List' in row)) return undefined;
  return row.List.items?.length;
}

function findSplitAt(source: SourceText): Found | undefined {
  const tokens = scanTokens(source.text).filter(({ text }) => !/^(--|\/\*)/.test(text));
  const is = (token: Token | undefined, word: string): boolean =>
    token?.text.toUpperCase() === word;
  if (!is(tokens[0], 'ALTER')) return undefined;
  const index = is(tokens[1], 'INDEX');
  if (!index && !is(tokens[1], 'TABLE')) return undefined;
  let at = 2;
  const parts: string[] = [];
  for (;;) {
    const part = tokens[at++];
    if (part === undefined || !/^["\p{L}_]/u.test(part.text)) return undefined;
    parts.push(part.text);
    if (!is(tokens[at], '.')) break;
    at++;
  }
  const end = tokens[at + 1];
  if (!is(tokens[at], 'SPLIT') || !is(end, 'AT') || end === undefined) return undefined;
  return {
    call: index ? 'split_index' : 'split_table',
    name: parts.join('.'),
    valuesFrom: end.end,
  };
}
